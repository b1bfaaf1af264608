"""The README's pictures of the demo, as the workflow made them: a table, and a heat map of generated images.

python docs/figures/demo.py    # after make demo, with Chromium; writes docs/images/demo-{table,heatmap}.png
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "demo"
HEATMAP = RESULTS / "figures" / "VisA-demo" / "board" / "1cls-PaDiM-demo-moco_spd.png"
TABLE = RESULTS / "tables" / "padim_1class.html"


def trimmed(picture: Image.Image, margin: int = 12) -> Image.Image:
    """Without its border in the colour of its corner."""
    plain = Image.new(picture.mode, picture.size, picture.getpixel((0, 0)))
    left, top, right, bottom = ImageChops.difference(picture, plain).getbbox()
    return picture.crop(
        (max(0, left - margin), max(0, top - margin), right + margin, min(picture.height, bottom + margin))
    )


def screenshot(page: Path, target: Path, width: int, height: int) -> None:
    """The top of an HTML page, as Chromium draws it in a light window of that size."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is needed: make test-tools installs it")
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        options += [f"--window-size={width},{height}", f"--screenshot={target}"]
        subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True)


def main() -> None:
    images = ROOT / "docs" / "images"
    shutil.copyfile(HEATMAP, images / "demo-heatmap.png")
    screenshot(TABLE, images / "demo-table.png", 1200, 535)
    trimmed(Image.open(images / "demo-table.png").convert("RGB")).save(
        images / "demo-table.png", optimize=True
    )
    print("demo-heatmap.png, demo-table.png")


if __name__ == "__main__":
    main()
