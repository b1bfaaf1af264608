"""What the generated demo data consists of; every value is ours."""

from pydantic import Field

from spd.options import Options


class DemoOptions(Options):
    """The generated data sets of presets demo and tiny: gelcaps, board, weave and classes of shapes."""

    seed: int = Field(0, ge=0)
    """Seed of every drawing; each image depends on it, its object and its own index alone."""

    scale: float = Field(1.0, ge=0.25, le=8)
    """Multiplies the size of the object images: 1 gives widths and heights of 144 to 192 pixels."""

    visa_normal: int = Field(100, ge=5, le=999)
    """Normal images of each object: 90 % of them are 1cls's training images, 20 % are 2cls_fewshot's pool."""

    visa_anomaly: int = Field(50, ge=5, le=999)
    """Anomalous images of each object: 20 % of them are 2cls_fewshot's pool."""

    mvtec_train_good: int = Field(70, ge=2, le=999)
    """Images in the weave's `train/good`."""

    mvtec_test_good: int = Field(20, ge=1, le=999)
    """Images in the weave's `test/good`."""

    mvtec_per_defect: int = Field(10, ge=1, le=999)
    """Images of each of the weave's five defect types."""

    classes: int = Field(20, ge=2, le=20)
    """Classes of the pre-training corpus."""

    images_per_class: int = Field(64, ge=1, le=9999)
    """Images per class of the pre-training corpus."""

    class_size: int = Field(72, ge=16, le=512)
    """Width and height of the pre-training images in pixels."""
