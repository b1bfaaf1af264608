"""The sheets of docs/views.md: views of generated images.

python docs/figures/views.py    # writes docs/images/views-*.png
"""

from pathlib import Path

from spd.methods.options import SIMCLR_VIEWS, SUPERVISED_VIEWS
from spd.views.options import LocalOptions, ViewsOptions
from spd.views.sheet import generated_images, render_local_sheet, render_parameter_sheet, render_sheet


def _small(options: ViewsOptions) -> ViewsOptions:
    sizes = {name: getattr(options, name).model_copy(update={"size": 160}) for name in ("strong", "weak")}
    return options.model_copy(update=sizes)


def main(folder: Path) -> None:
    options = _small(ViewsOptions())
    pictures = generated_images(4, 200)
    render_sheet(pictures, options, folder / "views-all.png")
    render_sheet(pictures[:2], _small(SIMCLR_VIEWS), folder / "views-simclr.png")
    names = SUPERVISED_VIEWS.names(("x",), spd=True)
    render_sheet(pictures[:2], _small(SUPERVISED_VIEWS), folder / "views-supervised.png", names=names)
    anchored = options.model_copy(update={"anchor": "image"})
    names = anchored.names(spd=True)
    render_sheet(pictures[:2], anchored, folder / "views-anchor-image.png", names=names)
    boards = generated_images(3, 160, seed=1)
    render_local_sheet(boards, LocalOptions(), folder / "views-local.png")
    cutpaste = LocalOptions(area=(0.02, 0.15))
    render_local_sheet(boards[:1], cutpaste, folder / "views-local-large.png")
    render_parameter_sheet(generated_images(1, 200, seed=2)[0], folder / "views-parameters.png")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1] / "images")
