"""What a person sees after `make ui`, in real Chromium: experiments, charts, and a search that finds runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from spd.report.names import Names
from workflow_scripts.common import records, tracking

pytest.importorskip("selenium", reason="no selenium: pip install -e '.[dev]'")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on PATH (make test-tools)"
    ),
]
SECONDS = 300
LABELS = {"moco": "MoCo", "simsiam": "SimSiam", "simsiam_spd": "SimSiam"}


@pytest.fixture(scope="module")
def synced(tmp_path_factory):
    """A store of six cells of two detectors: (folder, id of each experiment)."""
    folder = tmp_path_factory.mktemp("mlflow")
    paths = []
    for number, name in enumerate(LABELS):
        for detector in ("padim", "patchcore"):
            path = folder / f"{detector}-{name}.json"
            records.write_record(
                path,
                key=f"cell/{detector}/{name}",
                experiment=f"{'PaDiM' if detector == 'padim' else 'PatchCore'} 1cls",
                name=f"{name} seed0",
                params={"pretraining": name, "seed": 0, "dataset": "visa"},
                metrics={f"{detector}/au_roc": 0.7 + number / 10, f"{detector}/pixel_au_roc": 0.9},
                provenance={"code": "abc"},
            )
            paths.append(path)
    rows = {name: {"label": label, "spd": "none", "labels": False} for name, label in LABELS.items()}
    names = Names({"visa": "VisA"}, rows)
    _, experiments = tracking.sync(paths, folder, preset="demo", names=names)
    return folder, experiments


@pytest.fixture(scope="module")
def server(synced):
    folder, _ = synced
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        ],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 400
        while True:
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10)
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-background-networking", "--window-size=1500,1000"),
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(switch)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(SECONDS)
    yield driver
    driver.quit()


def text_with(driver, *words):
    """The page's text as soon as it has all of these words."""

    def there(_):
        text = driver.execute_script("return document.body ? document.body.innerText : ''")
        return text if all(word in text for word in words) else False

    try:
        return WebDriverWait(driver, SECONDS).until(there)
    finally:
        if folder := os.environ.get("SPD_SCREENSHOTS"):
            driver.save_screenshot(f"{folder}/mlflow-{time.time():.0f}.png")


def test_experiments_are_there_a_chart_shows_and_the_search_finds_runs(chromium, server, synced):
    _, experiments = synced
    chromium.get(f"{server}/#/experiments")
    text_with(chromium, "SPD demo: PaDiM 1cls", "SPD demo: PatchCore 1cls")

    number = experiments["SPD demo: PaDiM 1cls"]
    chromium.get(f"{server}/#/experiments/{number}/runs?compareRunsMode=CHART")
    text_with(chromium, "simsiam seed0", "moco seed0", "au_roc")
    drawn = "svg.main-svg"  # plotly's
    WebDriverWait(chromium, SECONDS).until(lambda d: d.find_elements(By.CSS_SELECTOR, drawn))

    found = "params.method%20%3D%20%22SimSiam%22"
    chromium.get("about:blank")
    chromium.get(f"{server}/#/experiments/{number}/runs?searchFilter={found}")
    text = text_with(chromium, "simsiam seed0", "simsiam_spd seed0", "2 matching runs")
    assert "moco seed0" not in text


def test_make_ui_opens_charts_of_trainings_in_the_order_of_methods(chromium, server, synced):
    _, experiments = synced
    chromium.get("about:blank")
    chromium.get(f"{server}/#/experiments/{experiments['SPD demo: PaDiM 1cls']}/runs{tracking.CHARTS}")
    text = text_with(chromium, "simsiam_spd seed0", "moco seed0", "au_roc")
    assert "Playground" not in text  # the left bar is that of trainings

    def sorted_by_method(driver):  # the page may draw its runs once before it has read the order
        text = driver.execute_script("return document.body.innerText")
        return 0 <= text.find("moco seed0") < text.find("simsiam seed0")

    WebDriverWait(chromium, SECONDS).until(sorted_by_method)
    WebDriverWait(chromium, SECONDS).until(lambda d: d.find_elements(By.CSS_SELECTOR, "svg.main-svg"))
