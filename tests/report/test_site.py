"""The results page, from files like those of a run; its behaviour in Chromium where there is one on PATH."""

import html
import html.parser
import json
import re
import shutil
import subprocess
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spd.datasets.manifest import COLUMNS as MANIFEST
from spd.records import write_record
from spd.report.cells import read_cells
from spd.report.claims import write_claims
from spd.report.options import TableOptions
from spd.report.qualitative import write_figures
from spd.report.scored import Scored
from spd.report.site import Backbone, Sources, TableFiles, read_table, search, write_site
from spd.report.tables import write_overview, write_table
from spd.tensors import write_tensors

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&{{ 7*7 }}/../%41"
SPLIT = "5" * 64


class Page(html.parser.HTMLParser):
    """Tags with their attributes, the texts inside chosen tags, and what was opened and never closed."""

    VOID = ("meta", "link", "img", "input", "br", "path")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def browser(self):
        """The JSON that the heat maps' browser reads."""
        return json.loads(next(t for t in self.texts["script"] if t.startswith("{")))


class Run:
    """Files of a finished run below a folder, made from names and seeded noise."""

    def __init__(self, folder, cell_content):
        self.folder, self.cell_content = folder, cell_content
        self.out = folder / "results"
        self.generator = np.random.default_rng(0)

    def images(self, objects, n, side, masks=True, defect="scratch"):
        tensors, rows = {}, {}
        for name in objects:
            smooth = self.generator.integers(0, 256, (n, side // 4, side // 4, 3)).astype(np.uint8)
            images = np.stack(
                [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in smooth]
            )
            tensors[f"{name}/images"] = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            if masks:
                tensors[f"{name}/masks"] = (images[..., 0] > 200).astype(np.uint8)
            rows[name] = [
                [name, "test", "anomaly" if i else "normal", defect if i else "", f"{name}/{i}.png", ""]
                for i in range(n)
            ]
        assert len(MANIFEST) == 6
        path = self.folder / "images.safetensors"
        metadata = {"rows": json.dumps(rows), "split_hash": json.dumps(SPLIT), "geometry": "{}"}
        write_tensors(path, tensors, metadata)
        return path

    def maps(self, name, objects, n, side):
        tensors = {}
        for one in objects:
            coarse = self.generator.random((n, max(side // 8, 2), max(side // 8, 2))).astype(np.float32)
            maps = [cv2.resize(m, (side, side), interpolation=cv2.INTER_CUBIC) for m in coarse]
            tensors[f"{one}/maps"] = np.stack(maps).astype(np.float16)
            tensors[f"{one}/scores"] = self.generator.random(n).astype(np.float32)
        path = self.folder / f"{name}.maps.safetensors"
        write_tensors(path, tensors, {"split_hash": json.dumps(SPLIT), "exponents": "{}"})
        return path

    def sources(
        self, objects, pretrainings, *, n=7, side=24, preset="demo", dataset="VisA", masks=True, figures=True
    ):
        """pretrainings: (name, label, spd variant, backbone)."""
        images = self.images(objects, n, side, masks)
        cells, scored, backbones = [], [], []
        for i, (name, label, spd, backbone) in enumerate(pretrainings):
            numbers = {
                o: {"AU-PR": 0.5 + i / 100 + j / 1000, "AU-ROC": 0.9 - j / 100} for j, o in enumerate(objects)
            }
            content = self.cell_content(
                name, label=label, spd=spd, backbone=backbone, dataset=dataset,
                classification=numbers, segmentation=numbers if masks else None,
                provenance={"preset": preset, "run_key": f"cell/{dataset}/{name}", "split_hash": SPLIT},
            )  # fmt: skip
            path = self.folder / f"cell{i}.json"
            path.write_text(json.dumps(content))
            cells.append(path)
            scored.append(Scored(read_cells([path])[0], images, self.maps(f"p{i}", objects, n, side)))
            history = self.folder / f"history{i}.jsonl"
            lines = [
                {"step": s, "loss": 3 / (s + 1) + i, "embedding_std": 0.9, "cos_plus": 0.8, "cos_minus": 0.1}
                for s in range(20)
            ]
            history.write_text("".join(json.dumps(line) + "\n" for line in lines))
            record = self.folder / f"record{i}.json"
            params = {"method": label, "spd": spd, "backbone": backbone, "seed": 0}
            write_record(
                record, key=f"backbone/{name}/seed0", experiment="backbones", name=f"{name} seed0",
                params=params, metrics={}, provenance={"code": "0123456789ab", "checkpoint": "c" * 64},
            )  # fmt: skip
            backbones.append(Backbone(record, history))
        options = TableOptions(
            title=f"Table of {dataset}", datasets=[dataset], detector="padim",
            rows=[name for name, *_ in pretrainings],
        )  # fmt: skip
        tables = self.out / "tables"
        write_table([one.cell for one in scored], "padim_1class", options, tables)
        write_claims({"padim_1class": read_table(tables / "padim_1class.csv")}, tables, preset=preset)
        counts = pd.DataFrame(
            {
                "dataset": dataset, "setup": "1cls", "object": objects, "split": "test", "label": "normal",
                "found": range(len(objects)), "stated": 1,
            }
        )  # fmt: skip
        write_overview(counts, "dataset_overview", tables)
        folder = self.out / "figures"
        if figures:
            write_figures(scored[:2], {"a": backbones[0].history}, folder)
        return Sources(
            [TableFiles("padim_1class", options, tables / "padim_1class.csv", cells)],
            tables / "dataset_overview.csv", tables / "claims.csv", backbones, scored, folder, ["A notice."],
        )  # fmt: skip


FOUR = [
    ("sup", "Sup", "none", "resnet50"), ("sup_spd", "Sup", "spd", "resnet50"),
    ("moco", "MoCo", "none", "resnet50"), ("moco_spd", "MoCo", "spd", "resnet50"),
]  # fmt: skip
OBJECTS = ["candle", "pcb1", "pcb10", "pcb2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, cell_content):
    """A small run, its page written."""
    made = Run(tmp_path_factory.mktemp("run"), cell_content)
    made.sources_ = made.sources(OBJECTS, FOUR)
    made.page = write_site(made.sources_, made.out, preset="demo")
    made.text = made.page.read_text()
    made.parsed = Page(made.text)
    return made


def relative_links(page):
    """Every URL of the page that is not a fragment or data."""
    for _, attributes in page.tags:
        for key in ("href", "src", "srcset", "action", "data", "poster"):
            url = attributes.get(key)
            if url and not url.startswith(("#", "data:")):
                yield url


def pictures(browser):
    for view in browser["views"]:
        for object_ in view["objects"]:
            for case in object_["cases"]:
                yield from filter(None, [case["image"], case["mask"], *case["maps"]])


def test_every_link_is_relative_and_resolves(run):
    links = list(relative_links(run.parsed))
    assert {"tables/padim_1class.csv", "tables/claims.csv", "tables/dataset_overview.csv"} <= set(links)
    assert any(link.startswith("figures/VisA/candle/") for link in links)
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not link.startswith("/")
        assert (run.out / unquote(parts.path)).is_file()
    ids = [attributes["id"] for _, attributes in run.parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    fragments = {a["href"][1:] for a in run.parsed.of("a") if a["href"].startswith("#")}
    assert fragments <= set(ids) and {"maps", "claims", "training", "data", "runs"} <= fragments


def test_nothing_is_asked_of_a_network(run):
    assert not re.findall(r"(?:https?:)?//[a-z]", run.text.replace("http://www.w3.org/2000/svg", ""))
    assert "@import" not in run.text and "url(" not in run.text
    policy = next(m["content"] for m in run.parsed.of("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_pictures_of_the_browser_lie_there_and_no_others(run):
    browser = run.parsed.browser
    assert browser["folder"] == "site"
    assert set(pictures(browser)) == {path.name for path in (run.out / "site").iterdir()}
    (view,) = browser["views"]
    assert [m["partner"] for m in view["methods"]] == [None, 0, None, 2]
    assert [o["name"] for o in view["objects"]] == OBJECTS
    for object_ in view["objects"]:
        assert [len(case["maps"]) for case in object_["cases"]] == [4] * 6
        assert object_["keys"] == [f"cell/VisA/{name}" for name, *_ in FOUR]
    case = view["objects"][0]["cases"][0]
    assert Image.open(run.out / "site" / case["maps"][0]).size == (24, 24)


def test_a_heat_map_is_that_of_its_image_and_method(run):
    from spd.report.cases import in_normal_units
    from spd.report.pictures import _coloured, _encode
    from spd.tensors import open_tensors

    object_ = run.parsed.browser["views"][0]["objects"][1]
    tensors, _ = open_tensors(run.sources_.scored[2].maps)
    case = object_["cases"][3]
    index = int(case["name"].removesuffix(".png"))
    anomalous = np.arange(7) > 0
    units = [in_normal_units(open_tensors(s.maps)[0]["pcb1/maps"], anomalous) for s in run.sources_.scored]
    chosen = [int(c["name"].removesuffix(".png")) for c in object_["cases"]]
    ceiling = np.quantile(np.concatenate([u[chosen].ravel() for u in units]), 0.995)
    assert object_["ceiling"] == round(max(1, ceiling), 2)
    assert case["maps"][2] == _encode(_coloured(units[2][index], float(ceiling)), "heat")[0]
    scores = tensors["pcb1/scores"]
    assert case["ranks"][2] == 1 + (scores > scores[index]).sum()


def test_figures_are_one_a_pair_and_one_of_curves(run, tmp_path):
    figures = run.out / "figures"
    stems = ("1cls-PaDiM-paper-sup_spd", "1cls-PaDiM-paper-curves")
    expected = {f"VisA/{name}/{stem}.png" for name in OBJECTS for stem in stems} | {"pretraining.png"}
    assert {path.relative_to(figures).as_posix() for path in figures.rglob("*.*")} == expected
    again = write_figures(run.sources_.scored[:2], {}, tmp_path)
    assert len(again) == 2 * len(OBJECTS)
    for path in again:
        assert path.read_bytes() == (figures / path.relative_to(tmp_path)).read_bytes()


def test_without_results_there_is_an_empty_folder_of_figures(tmp_path):
    assert write_figures([], {}, tmp_path / "figures") == []
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_tables_means_look_as_on_its_own_page(run):
    own = (run.out / "tables/padim_1class.html").read_text()
    grids = re.findall(r'<div class="scroll".*?</div>', own, re.S)
    assert grids
    for grid in grids:
        assert grid in run.text


def test_objects_stand_in_rows_with_their_numbers(run):
    body = re.search(r"every object; the column heads sort.*?<tbody>(.*?)</tbody>", run.text, re.S)[1]
    rows = [re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]*)", row) for row in body.split("<tr>")[1:]]
    assert len(rows) == len(FOUR) * len(OBJECTS)
    assert rows[0][:4] == ["VisA", "candle", "Sup", "50.0"] and rows[0][4] == ""
    assert rows[4][:5] == ["VisA", "candle", "Sup + SPD", "51.0", "+1.0"]
    keys = re.findall(r'data-key="([^"]*)"', body)
    assert float(keys[0]) == 50.0


def test_banner_is_kept_where_the_numbers_are_no_results(run, tmp_path):
    assert 'class="banner" role="note">Not a result.' in run.text
    empty = write_site(Sources([]), tmp_path, preset="paper").read_text()
    assert "Not a result" not in empty and "preset paper" in empty
    Page(empty)


def test_the_same_sources_give_the_same_bytes(run, tmp_path):
    before = {p.name: p.read_bytes() for p in (run.out / "site").iterdir()}
    (run.out / "site" / "stale.webp").write_bytes(b"old")
    assert write_site(run.sources_, run.out, preset="demo").read_text() == run.text
    assert {p.name: p.read_bytes() for p in (run.out / "site").iterdir()} == before
    assert not list(run.out.rglob("*.tmp"))


def test_every_run_has_its_search_string(run):
    codes = "".join(run.parsed.texts["code"])
    for name, *_ in FOUR:
        assert f"tags.\"spd.run_key\" = 'cell/VisA/{name}'" in codes
        assert f"tags.\"spd.run_key\" = 'backbone/{name}/seed0'" in codes
    assert search("a'b") == 'tags."spd.run_key" = "a\'b"'


def test_marks_of_meaning_are_there(run):
    page = run.parsed
    assert page.open == [] and page.of("html")[0]["lang"] == "en"
    assert len(page.of("h1")) == len(page.of("main")) == 1 and page.of("nav")[0]["aria-label"]
    for table in re.findall(r"<table.*?</table>", run.text, re.S):
        assert 'scope="col"' in table
    for box in (a for a in page.of("div") if a.get("class") == "scroll"):
        assert box["tabindex"] == "0" and box["aria-label"]  # a box that scrolls can be reached by keyboard
    for svg in page.of("svg"):
        assert svg.get("aria-label") or svg.get("aria-hidden") == "true"


@pytest.mark.parametrize("masks", [True, False])
def test_hostile_names_are_shown_as_they_are(tmp_path, cell_content, masks):
    made = Run(tmp_path, cell_content)
    rows = [("a", HOSTILE, "none", HOSTILE), ("b", HOSTILE, "spd", HOSTILE)]
    sources = made.sources([HOSTILE, ".."], rows, dataset=HOSTILE, masks=masks)
    page = Page(write_site(sources, made.out, preset="demo").read_text())
    assert page.open == []
    assert not page.of("img") and len(page.of("script")) == 2
    assert not [attributes for _, attributes in page.tags if any(key.startswith("on") for key in attributes)]
    view = page.browser["views"][0]
    assert {o["name"] for o in view["objects"]} == {HOSTILE, ".."}
    assert HOSTILE in view["title"] and f"Table of {HOSTILE}" in "".join(page.texts["h2"])
    for link in relative_links(page):
        assert (made.out / unquote(urlsplit(link).path)).resolve().is_relative_to(made.out)
        assert (made.out / unquote(urlsplit(link).path)).is_file()
    assert set(pictures(page.browser)) == {path.name for path in (made.out / "site").iterdir()}
    if not masks:
        assert {case["mask"] for o in view["objects"] for case in o["cases"]} == {None}


def test_results_that_do_not_fit_together_are_refused(run, tmp_path):
    one = run.sources_.scored[0]
    wrong = tmp_path / "wrong.safetensors"
    write_tensors(wrong, {f"{o}/maps": np.zeros((2, 4, 4), np.float16) for o in OBJECTS}, {})
    sources = Sources([], scored=[one._replace(maps=wrong)])
    with pytest.raises(ValueError, match=r"wrong\.safetensors: its maps of candle"):
        write_site(sources, tmp_path / "out", preset="demo")
    assert not (tmp_path / "out/index.html").exists()
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"other\.csv: not the CSV of a table"):
        read_table(other)


def test_a_table_reads_back_as_it_was_written(run):
    from spd.report.tidy import tidy

    (table,) = run.sources_.tables
    pd.testing.assert_frame_equal(
        read_table(table.csv), tidy(read_cells(table.cells), table.name, table.options), check_dtype=False
    )


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_what_they_stand_on(run, scheme):
    style = run.parsed.texts["style"][0]
    colours = {}
    for dark, block in re.findall(r"(\(prefers-color-scheme: dark\) \{ )?:root \{([^}]*)\}", style):
        if not dark or scheme == "dark":
            colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for ground in ("page", "band"):
        for ink in ("ink", "soft", "link", "up", "down"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)  # WCAG AA, text
        assert contrast(colours["edge"], colours[ground]) >= 3  # controls
    for i in range(6):
        assert contrast(colours[f"c{i}"], colours["page"]) >= 3  # lines of a chart
    assert contrast(colours["warn-ink"], colours["warn"]) >= 4.5


SIXTEEN = [(f"p{i}{spd}", f"Method {i}", spd or "none", "resnet50") for i in range(8) for spd in ("", "spd")]


@pytest.fixture(scope="module")
def full(tmp_path_factory, cell_content):
    """12 objects of 224 pixels, 16 pre-trainings, and as many images as the page shows."""
    made = Run(tmp_path_factory.mktemp("full"), cell_content)
    sources = made.sources([f"object{i}" for i in range(12)], SIXTEEN, n=6, side=224, figures=False)
    made.page = write_site(sources, made.out, preset="demo")
    return made


def test_the_full_size_stays_small(full):
    files = [full.page, *(full.out / "site").iterdir()]
    # 12 objects x 6 cases x (16 heat maps + image + mask), none of them equal to another.
    assert len(files) == 1 + 12 * 6 * 18
    assert sum(path.stat().st_size for path in files) < 60e6
    # What a browser reads before it shows anything; pictures load as they come into view.
    assert full.page.stat().st_size < 1.5e6


# --- in Chromium -------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--virtual-time-budget=30000"),
)
WATCH = """<script>
window.seen = {errors: []};
addEventListener("error", (e) => seen.errors.push(String(e.message || (e.target && e.target.src))), true);
addEventListener("securitypolicyviolation", (e) => seen.errors.push("refused " + e.blockedURI));
</script>"""
DRIVE = """<script>
addEventListener("load", async () => {
  const $ = (q) => document.querySelector(q), all = (q) => [...document.querySelectorAll(q)];
  const change = (q, value) => { $(q).value = value; $(q).dispatchEvent(new Event("change")); };
  const loaded = async () => {
    const pictures = all("#cases img");
    pictures.forEach((img) => { img.loading = "eager"; });
    // Timers, not decode(): they are what --virtual-time-budget waits for.
    const ready = () => pictures.every((img) => img.complete && img.naturalWidth > 0);
    for (let i = 0; i < 100 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    return [pictures.length, ready()];
  };
  const cut = () => $("#cases").style.getPropertyValue("--cut");
  const chosen = () => ["#object", "#left", "#right"].map((q) => $(q).selectedOptions[0].text);
  try {
    document.querySelectorAll("details").forEach((d) => { d.open = true; });
    const table = $("table.sortable"), heads = [...table.tHead.rows[0].cells];
    const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
    const click = (i) => {
      heads[i].firstElementChild.click();
      return [heads[i].getAttribute("aria-sort"), column(i)];
    };
    seen.objects = [click(1), click(1)];
    seen.values = [click(3), click(3)];
    seen.effects = [click(4), click(4)];
    seen.sorted = heads.filter((head) => head.hasAttribute("aria-sort")).length;
    const filter = table.closest(".sorting").querySelector("input");
    filter.value = "PCB1 spd"; filter.dispatchEvent(new Event("input"));
    seen.filtered = [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[1].textContent);
    seen.start = [chosen(), cut(), await loaded()];
    $("#toggle").click(); seen.right = [cut(), $("#toggle").getAttribute("aria-pressed")];
    $("#toggle").click(); seen.left = [cut(), $("#toggle").getAttribute("aria-pressed")];
    $("#wipe").value = 30; $("#wipe").dispatchEvent(new Event("input")); seen.wiped = cut();
    const heat = () => all("#cases .heat").map((img) => img.getAttribute("src"));
    const before = heat();
    change("#left", 2); change("#right", 3);
    seen.others = [chosen(), heat().filter((src) => before.includes(src)).length, await loaded()];
    $("#next").click(); seen.next = [chosen()[0], await loaded()];
    $("#previous").click(); $("#previous").click(); seen.previous = chosen()[0];
    seen.searches = all("#searches code").map((code) => code.textContent);
    $("#blend").click(); seen.blended = getComputedStyle($("#cases .heat")).opacity;
    seen.wide = [document.documentElement.scrollWidth, innerWidth];
    seen.requests = all("img").map((img) => img.src);
    const focusable = all("a[href], button, select, input, summary, [tabindex='0']")
      .filter((e) => e.getClientRects().length);
    seen.unreachable = focusable.filter((e) => { e.focus(); return document.activeElement !== e; }).length;
    seen.unnamed = all("button, select, input")
      .filter((e) => !(e.textContent.trim() || e.labels?.length || e.ariaLabel)).length;
  } catch (error) { seen.errors.push(String(error)); }
  parent.postMessage(JSON.stringify(seen), "*");
});
</script>"""
FRAME = """<!doctype html><iframe src="driven.html" style="width:%dpx;height:900px;border:0"></iframe>
<script>
addEventListener("message", (event) => {
  const result = document.createElement("pre");
  result.id = "seen"; result.textContent = event.data; document.body.append(result);
});
</script>"""


@pytest.fixture(scope="module", params=[1440, 390])
def seen(request, run, tmp_path_factory):
    """What a driven page saw at a width in pixels (in a frame: a window has a least width)."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (apt-get install chromium)")
    driven = run.text.replace("<style>", WATCH + "<style>", 1).replace("</body>", DRIVE + "</body>")
    (run.out / "driven.html").write_text(driven)
    frame = run.out / "frame.html"
    frame.write_text(FRAME % request.param)
    command = [CHROMIUM, *FLAGS, "--window-size=1500,1000", "--dump-dom", frame.as_uri()]
    command.append(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    text = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert done.returncode == 0 and text, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(text[1])) | {"console": console, "width": request.param}


def test_no_errors_and_no_request_beyond_the_folder(seen, run):
    assert seen["errors"] == [] and seen["console"] == []
    # Chromium lists no requests of file://; a request elsewhere would be an error by the page's own policy.
    assert seen["requests"] and all(name.startswith(run.out.as_uri()) for name in seen["requests"])


def test_heads_sort_numbers_by_value_and_words_naturally(seen):
    (up, first), (down, second) = seen["objects"]
    assert (up, down) == ("ascending", "descending")
    assert list(dict.fromkeys(first)) == ["candle", "pcb1", "pcb2", "pcb10"]
    assert list(dict.fromkeys(second)) == ["pcb10", "pcb2", "pcb1", "candle"]
    (down, first), (up, second) = seen["values"]
    assert (down, up) == ("descending", "ascending")
    assert first == sorted(first, key=float, reverse=True) and second == sorted(second, key=float)
    # Rows without a value stay last whichever way it goes.
    for _, effects in seen["effects"]:
        assert effects == [effect for effect in effects if effect] + [""] * 8
    assert seen["sorted"] == 1
    assert sorted(seen["filtered"]) == ["pcb1", "pcb1", "pcb10", "pcb10"]


def test_maps_are_compared_by_toggle_and_divider(seen):
    assert seen["start"] == [["candle", "Sup", "Sup + SPD"], "50%", [30, True]]
    assert seen["right"] == ["0%", "true"] and seen["left"] == ["100%", "false"]
    assert seen["wiped"] == "30%"
    assert seen["others"] == [["candle", "MoCo", "MoCo + SPD"], 0, [30, True]]
    assert seen["next"] == ["pcb1", [30, True]] and seen["previous"] == "pcb2"
    assert seen["searches"] == [f"tags.\"spd.run_key\" = 'cell/VisA/{name}'" for name in ("moco", "moco_spd")]
    assert 0 < float(seen["blended"]) < 1


def test_the_page_fits_its_width_and_a_keyboard(seen):
    content, window = seen["wide"]
    assert window == seen["width"] and content <= window
    assert seen["unreachable"] == seen["unnamed"] == 0
