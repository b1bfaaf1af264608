"""The results page at full size: its weight, and how long Chromium takes to open it.

    python benchmarks/site.py [--write]

The page is that of `pytest tests/report -k full_size`: 12 objects of 224 pixels and 16 pre-trainings, noise
in place of photographs (which compresses worse). Opening ends when the browser's load event has passed and
the heat maps of the first object are drawn; the profile is fresh each time. The peer is an empty page in the
same browser.
"""

import argparse
import importlib.util
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from report import machine, write_section
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

REPEATS = 5
TESTS = Path(__file__).resolve().parent.parent / "tests" / "report"
READY = """
if (document.readyState !== "complete") return false;
const first = [...document.querySelectorAll("#cases img")].slice(0, 5);
return first.length === 5 && first.every((image) => image.complete && image.naturalWidth > 0);
"""


def full_page(folder: Path) -> Path:
    specification = importlib.util.spec_from_file_location("generated_run", TESTS / "conftest.py")
    generated = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generated)
    return generated.Run(folder, generated.content).full_size()


def seconds_to_open(page: Path, ready: str) -> float:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,900"):
        options.add_argument(switch)
    # The heat maps stand below the first screen: the page is opened at them, or they would never load.
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get("about:blank")
        start = time.monotonic()
        driver.get(f"{page.as_uri()}#maps")
        WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda _: driver.execute_script(ready))
        return time.monotonic() - start
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        page = full_page(Path(name))
        pictures = list((page.parent / "site").iterdir())
        weight = sum(path.stat().st_size for path in [page, *pictures])
        empty = Path(name) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        opened = [seconds_to_open(page, READY) for _ in range(REPEATS)]
        nothing = [seconds_to_open(empty, "return true") for _ in range(REPEATS)]
        html = page.stat().st_size
    ratio = statistics.median(opened) / statistics.median(nothing)
    lines = [
        "## Results page",
        "",
        "12 objects x 16 pre-trainings x 6 images of 224 pixels, generated noise.",
        "",
        "| | |",
        "|---|---|",
        f"| page and pictures | {weight / 1e6:.1f} MB in {1 + len(pictures)} files |",
        f"| the page itself | {html / 1e6:.2f} MB |",
        f"| opened in Chromium, with the heat maps drawn | {statistics.median(opened):.2f} s "
        f"({min(opened):.2f} to {max(opened):.2f}) |",
        f"| the same, relative to an empty page | {ratio:.1f} x |",
        "",
        f"Median of {REPEATS} openings, a new browser each. {machine()}. `python benchmarks/site.py --write`",
    ]
    print("\n".join(lines))
    if arguments.write:
        write_section("site", "\n".join(lines))


if __name__ == "__main__":
    main()
