"""What the generated demo data consists of; every value is ours."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spd.options import Options


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("names are listed twice: list each once")
    return names


VisaObject = Literal["gelcaps", "biscuit", "board"]
MvtecCategory = Literal["weave", "gear"]


class DemoOptions(Options):
    """The generated data sets: the same options give the same bytes on any machine."""

    seed: int = Field(0, ge=0)
    """Seed of every drawing; each image depends on it, its object and its own index alone."""

    scale: float = Field(1.0, ge=0.25, le=8)
    """Multiplies the size of the object images: 1 gives widths and heights of 144 to 192 pixels."""

    visa_objects: Annotated[tuple[VisaObject, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        "gelcaps",
        "biscuit",
        "board",
    )
    """Objects of the archive in VisA's layout: several instances, one part, a board with components."""

    visa_normal: int = Field(100, ge=5, le=999)
    """Normal images per object: 90 % of them are 1cls's training images, 20 % are 2cls_fewshot's pool."""

    visa_anomaly: int = Field(50, ge=5, le=999)
    """Anomalous images per object: 20 % of them are 2cls_fewshot's pool."""

    mvtec_categories: Annotated[tuple[MvtecCategory, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        "weave",
        "gear",
    )
    """Categories of the archive in MVTec-AD's layout: a texture (RGB) and an object (grey images)."""

    mvtec_train_good: int = Field(70, ge=2, le=999)
    """Images in `train/good` per category."""

    mvtec_test_good: int = Field(20, ge=1, le=999)
    """Images in `test/good` per category."""

    mvtec_per_defect: int = Field(10, ge=1, le=999)
    """Images per defect kind and category; each category has five kinds."""

    classes: int = Field(20, ge=2, le=20)
    """Classes of the pre-training corpus."""

    images_per_class: int = Field(64, ge=1, le=9999)
    """Images per class of the pre-training corpus."""

    class_size: int = Field(72, ge=16, le=512)
    """Width and height of the pre-training images in pixels."""
