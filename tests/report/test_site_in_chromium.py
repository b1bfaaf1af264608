"""The results page driven in real Chromium: by mouse and keyboard, light and dark, wide and narrow."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("selenium", reason="no selenium: pip install -e '.[dev]'")

from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on PATH (make test-tools)"
)
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
HEIGHT = 900


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page at a width in pixels and in a colour scheme, and what a person does with it."""

    def __init__(self, driver, folder, width, scheme):
        self.driver, self.folder, self.width = driver, folder, width
        metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        self.logs()  # those of earlier pages
        driver.get((folder / "index.html").as_uri())

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def open_everything(self):
        self.script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    def logs(self):
        """(lines of the console, addresses asked for) since the last call."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return self.driver.get_log("browser"), asked

    def pictures(self):
        """Addresses of the heat maps shown, once all pictures of the browser have arrived."""
        ready = (
            "const all = [...document.querySelectorAll('#cases img')];"
            "all.forEach((i) => { i.loading = 'eager'; });"
            "return all.length > 0 && all.every((i) => i.complete && i.naturalWidth > 0);"
        )
        WebDriverWait(self.driver, 30).until(lambda _: self.script(ready))
        return [image.get_attribute("src") for image in self.all("#cases .heat")]

    def chosen(self):
        return [
            Select(self.one(f"#{name}")).first_selected_option.text for name in ("object", "left", "right")
        ]

    def choose(self, name, text):
        Select(self.one(f"#{name}")).select_by_visible_text(text)

    def cut(self):
        return self.script("return document.getElementById('cases').style.getPropertyValue('--cut')")

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()


@pytest.fixture
def page(request, chromium, run):
    return Page(chromium, run.out, *getattr(request, "param", (1440, "light")))


everywhere = pytest.mark.parametrize(
    "page", [(w, s) for w in (1440, 390) for s in ("light", "dark")], indirect=True, ids=str
)


@everywhere
def test_no_errors_and_no_request_beyond_the_folder(page):
    page.open_everything()
    for name in ["candle", "pcb1", "pcb10", "pcb2"]:
        page.choose("object", name)
        page.pictures()
    page.one("#toggle").click()
    page.one("#blend").click()
    console, asked = page.logs()
    assert console == []
    folder = page.folder.as_uri() + "/"
    assert len([url for url in asked if url.endswith(".webp")]) >= 4 * 6
    own = "chrome://"  # parts of the browser's start page, which lie in the browser
    assert [url for url in asked if not url.startswith((folder, "data:", own))] == []


def test_every_link_leads_somewhere(page):
    page.open_everything()
    addresses = [link.get_property("href") for link in page.all("a[href]")]
    assert len(addresses) > 20
    for address in addresses:
        parts = urlsplit(address)
        assert parts.scheme == "file" and Path(unquote(parts.path)).is_file()
        if parts.fragment:
            assert page.all(f"[id='{parts.fragment}']")
    page.one("nav a[href='#runs']").click()
    top = page.script("return document.getElementById('runs').getBoundingClientRect().top")
    assert 0 <= top < HEIGHT  # and the sticky head does not cover it
    covered = page.script("return document.querySelector('header').getBoundingClientRect().bottom")
    assert page.script("return document.querySelector('#runs h2').getBoundingClientRect().bottom") > covered


@everywhere
def test_heads_sort_by_mouse_and_keyboard(page):
    page.open_everything()
    table = page.one("table.sortable")
    heads = table.find_elements(By.CSS_SELECTOR, "thead th button")

    def column(i):
        return page.script(
            "return [...arguments[0].tBodies[0].rows].map((r) => r.cells[arguments[1]].textContent)", table, i
        )

    def click(i, key=None):
        if key:
            page.script("arguments[0].focus()", heads[i])
            page.press(key)
        else:
            page.script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", heads[i])
            heads[i].click()
        return heads[i].find_element(By.XPATH, "..").get_attribute("aria-sort"), column(i)

    order, first = click(1)
    assert order == "ascending" and list(dict.fromkeys(first)) == ["candle", "pcb1", "pcb2", "pcb10"]
    order, first = click(1, Keys.ENTER)
    assert order == "descending" and list(dict.fromkeys(first)) == ["pcb10", "pcb2", "pcb1", "candle"]
    for key, expected in ((None, "descending"), (Keys.SPACE, "ascending")):
        order, values = click(3, key)
        assert order == expected
        assert values == sorted(values, key=float, reverse=order == "descending")
    for _ in range(2):  # rows without a value stay last whichever way it goes
        _, effects = click(4)
        assert effects == [effect for effect in effects if effect] + [""] * 8
    assert len(page.all("table.sortable:first-of-type th[aria-sort]")) == 1
    box = page.one(".filter input")
    box.send_keys("PCB1 spd")
    shown = (
        "return [...arguments[0].tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[1].textContent)"
    )
    assert sorted(page.script(shown, table)) == ["pcb1", "pcb1", "pcb10", "pcb10"]


def test_maps_are_compared_by_toggle_divider_and_keys(page):
    start = page.pictures()
    assert page.chosen() == ["candle", "Sup", "Sup + SPD"] and page.cut() == "50%" and len(start) == 12
    toggle, wipe = page.one("#toggle"), page.one("#wipe")
    toggle.click()
    assert (page.cut(), toggle.get_attribute("aria-pressed")) == ("0%", "true")
    visible = "return [...document.querySelectorAll('.pane .of-left')].every((e) => !e.checkVisibility())"
    assert page.script(visible)  # the left name goes with the left map
    toggle.send_keys(Keys.SPACE)
    assert (page.cut(), toggle.get_attribute("aria-pressed")) == ("100%", "false")
    wipe.send_keys(Keys.ARROW_LEFT)
    assert page.cut() == "99%"
    frame = page.one("#cases .compare")
    page.script("arguments[0].scrollIntoView({block: 'center'})", frame)
    chain = ActionChains(page.driver).move_to_element(frame).click_and_hold()
    chain.move_by_offset(-frame.size["width"] // 4, 0).release().perform()
    assert 20 <= float(page.cut().rstrip("%")) <= 30
    page.choose("left", "MoCo")
    page.choose("right", "MoCo + SPD")
    assert not set(page.pictures()) & set(start)
    page.one("#next").click()
    assert page.chosen() == ["pcb1", "MoCo", "MoCo + SPD"] and len(page.pictures()) == 12
    for _ in range(2):
        page.one("#previous").click()
    assert page.chosen()[0] == "pcb2"
    page.open_everything()
    searches = [code.text for code in page.all("#searches code")]
    assert searches == [f"tags.\"spd.run_key\" = 'cell/VisA/{name}'" for name in ("moco", "moco_spd")]
    page.one("#blend").click()
    assert 0 < float(page.one("#cases .heat").value_of_css_property("opacity")) < 1


@everywhere
def test_the_page_fits_its_width(page):
    page.open_everything()
    page.pictures()
    assert page.script("return innerWidth") == page.width
    assert page.script("return document.documentElement.scrollWidth") <= page.width


@pytest.mark.parametrize("page", [(1440, "light"), (390, "light")], indirect=True, ids=str)
def test_tab_reaches_everything_in_order_and_shows_where_it_is(page):
    page.pictures()
    wanted = page.script(
        "const all = document.querySelectorAll(\"a[href], button, select, input, summary, [tabindex='0']\");"
        "const found = [...all].filter((e) => e.checkVisibility());"
        "found.forEach((e, i) => { e.dataset.place = i; }); return found.length"
    )
    page.script("document.activeElement.blur(); scrollTo(0, 0)")
    reached, outlined = [], []
    for _ in range(wanted):
        page.press(Keys.TAB)
        place, outline = page.script(
            "const e = document.activeElement;"
            "return [Number(e.dataset.place), getComputedStyle(e).outlineStyle !== 'none']"
        )
        reached.append(place)
        outlined.append(outline)
    assert reached == list(range(wanted)) and all(outlined)
    unnamed = (
        "return [...document.querySelectorAll('button, select, input')].filter((e) =>"
        " !(e.textContent.trim() || e.labels?.length || e.ariaLabel)).length"
    )
    assert page.script(unnamed) == 0


# The colour of every text that is shown, and of what it stands on: (text, ink, ground).
INKS = """
const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const text = walk.currentNode.textContent.trim(), owner = walk.currentNode.parentElement;
  if (!text || !owner.checkVisibility()) continue;
  if (owner.closest("script, noscript, .unseen, .skip, option")) continue;
  const style = getComputedStyle(owner);
  let under = owner, ground = "rgba(0, 0, 0, 0)";
  while (under && ground === "rgba(0, 0, 0, 0)") {
    ground = getComputedStyle(under).backgroundColor;
    under = under.parentElement;
  }
  found.push([text.slice(0, 40), owner.closest("svg") ? style.fill : style.color, ground]);
}
return found;
"""


def contrast(*colours):
    """WCAG 2.2's ratio of two colours `rgb(r, g, b)`."""

    def luminance(colour):
        channels = [int(part) / 255 for part in re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour).groups()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted(map(luminance, colours), reverse=True)
    return (high + 0.05) / (low + 0.05)


@everywhere
def test_every_text_has_the_contrast_of_wcag_aa(page):
    page.open_everything()
    page.pictures()
    inks = page.script(INKS)
    assert len(inks) > 300
    poor = [one for one in inks if contrast(*one[1:]) < 4.5]
    assert poor == []
