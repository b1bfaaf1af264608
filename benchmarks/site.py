"""The results page at full size: its weight, and how long Chromium takes to open it.

The page is that of `pytest tests/report -k full_size`: 12 objects of 224 pixels and 16 pre-trainings, noise
in place of photographs (which compresses worse). Opening ends when the browser's load event has passed and
the heat maps of the first object are drawn; the profile is fresh each time. The peer is an empty page in the
same browser.
"""

import importlib.util
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from harness import ROOT, benchmark, table
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

READY = """
if (document.readyState !== "complete") return false;
const first = [...document.querySelectorAll("#cases img")].slice(0, 5);
return first.length === 5 && first.every((image) => image.complete && image.naturalWidth > 0);
"""


def full_page(folder: Path) -> Path:
    fixtures = ROOT / "tests" / "report" / "conftest.py"
    specification = importlib.util.spec_from_file_location("generated_run", fixtures)
    generated = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generated)
    return generated.Run(folder, generated.content).full_size()


def seconds_to_open(page: Path, ready: str) -> float:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,900"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get("about:blank")
        start = time.monotonic()
        # The heat maps stand below the first screen: the page is opened at them, or they would never load.
        driver.get(f"{page.as_uri()}#maps")
        WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda _: driver.execute_script(ready))
        return time.monotonic() - start
    finally:
        driver.quit()


def measure(options) -> str:
    with tempfile.TemporaryDirectory() as name:
        page, empty = full_page(Path(name)), Path(name) / "empty.html"
        sizes = [path.stat().st_size for path in [page, *(page.parent / "site").iterdir()]]
        empty.write_text("<!doctype html><title>empty</title>")
        opened = [seconds_to_open(page, READY) for _ in range(options.repeats)]
        nothing = [seconds_to_open(empty, "return true") for _ in range(options.repeats)]
    median = statistics.median(opened)
    rows = [
        ("page and pictures", f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files"),
        ("the page itself", f"{sizes[0] / 1e6:.2f} MB"),
        (
            "opened in Chromium, with the heat maps drawn",
            f"{median:.2f} s ({min(opened):.2f} to {max(opened):.2f})",
        ),
        ("the same, relative to an empty page", f"{median / statistics.median(nothing):.1f} x"),
    ]
    return f"""12 objects x 16 pre-trainings x 6 images of 224 pixels, generated noise.

{table(" | ", rows)}

Median of {options.repeats} openings, a new browser each."""


if __name__ == "__main__":
    benchmark(measure, "site", "## Results page", {"repeats": (5, 1)})
