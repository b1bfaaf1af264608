"""The figure of the README: how SPD makes its views, by the library's own functions on a generated image.

PYTHONPATH=. python docs/figures/method.py    # writes docs/images/method.png
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch

from demo_data.board import Board
from demo_data.photograph import photograph
from spd.views import views
from spd.views.options import WEAK, ViewOptions, ViewsOptions

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

TARGET = Path(__file__).resolve().parents[1] / "images" / "method.png"
SEED = 146
INK, PULL, PUSH = "#22252b", "#1f7a4d", "#b3261e"
WIDTH, HEIGHT, SIDE = 11.0, 4.3, 1.5  # inches


def pictures() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The image and its four views, (H, W, 3) in [0, 1], and the pasted patch as x, y, width, height."""
    board = photograph(Board, 2.0, (0, "board", "normal", 4)).image
    image = torch.from_numpy(board).permute(2, 0, 1)[None]  # (1, 3, H, W)
    side = min(image.shape[2:])
    image = image[..., :side, :side]
    options = ViewsOptions(
        strong=ViewOptions(size=192, scale=(0.4, 1.0)),
        weak=WEAK.model_copy(update={"size": 192}),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    draws = views.draw(options, seed=SEED, step=0, batch=1, names=("q", "k", "plus", "minus"))
    shown = {
        name: view[0].permute(1, 2, 0).clamp(0, 1).numpy()
        for name, view in views.apply(image, None, draws, options).items()
    }
    shown["image"] = image[0].permute(1, 2, 0).numpy() / 255
    (y, x), (height, width) = draws["minus"]["local_target"][0], draws["minus"]["local_patch"][0]
    return shown, np.array([x, y, width, height])


def draw() -> None:
    shown, (left, top, width, height) = pictures()
    figure = plt.figure(figsize=(WIDTH, HEIGHT), dpi=150, facecolor="white")
    canvas = figure.add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    canvas.axis("off")

    def place(name, x, y, title, note, colour=INK):
        frame = figure.add_axes((x / WIDTH, y / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT))
        frame.imshow(shown[name], interpolation="lanczos")
        frame.set(xticks=[], yticks=[])
        canvas.text(x + SIDE / 2, y + SIDE + 0.07, title, ha="center", va="bottom", color=colour, fontsize=12)
        canvas.text(x + SIDE / 2, y - 0.07, note, ha="center", va="top", color=INK, fontsize=8)
        return frame

    def arrow(start, end, colour=INK):
        style = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 2, "shrinkB": 2}
        canvas.annotate("", end, start, arrowprops=style)

    high, low, columns = 2.4, 0.35, (0.25, 2.75, 5.25)
    middle = (high + low + SIDE) / 2
    place("image", columns[0], middle - SIDE / 2, "image", "")
    place("q", columns[1], high, "$x$", "strong global augmentation")
    place("k", columns[1], low, "$x'$", "strong global augmentation")
    place("plus", columns[2], high, "$x^{+}$", "weak global augmentation of $x$", PULL)
    frame = place("minus", columns[2], low, "$x^{-}$", "the same, and SmoothBlend", PUSH)
    around = (left - 5, top - 5), width + 10, height + 10
    frame.add_patch(Rectangle(*around, fill=False, edgecolor=PUSH, lw=1.3, linestyle=":"))

    ends = [column + SIDE for column in columns]
    arrow((ends[0], middle + 0.2), (columns[1], high + SIDE / 2))
    arrow((ends[0], middle - 0.2), (columns[1], low + SIDE / 2))
    arrow((ends[1], high + SIDE / 2), (columns[2], high + SIDE / 2), PULL)
    arrow((ends[1], high + SIDE / 2 - 0.2), (columns[2], low + SIDE / 2), PUSH)

    x = ends[2] + 0.5
    lines = [
        (3.25, "$L(z, z')$", 15, INK),
        (2.9, "of SimCLR, MoCo or SimSiam", 9, INK),
        (2.25, "$+\\ \\eta\\ (\\ \\cos(z, z^{-})$", 15, PUSH),
        (1.9, "        push the local change away", 9, PUSH),
        (1.4, "$\\quad\\ \\ -\\ \\cos(z, z^{+})\\ )$", 15, PULL),
        (1.05, "        pull the weak view closer", 9, PULL),
        (0.45, "$z = f(x)$: one network embeds all views", 9, INK),
    ]
    for y, words, size, colour in lines:
        canvas.text(x, y, words, ha="left", va="center", fontsize=size, color=colour)
    figure.savefig(TARGET, metadata={"Software": None})
    print(TARGET.name)


if __name__ == "__main__":
    draw()
