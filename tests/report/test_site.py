"""The results page, from files like those of a run; its behaviour in Chromium where there is one on PATH."""

import html
import html.parser
import json
import re
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spd.files import read_json
from spd.report.cells import read_cells
from spd.report.qualitative import figures_of, write_figures
from spd.report.scored import views
from spd.report.site import Sources, read_table, search, write_site
from spd.tensors import write_tensors

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&{{ 7*7 }}/../%41"


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
    links = list(relative_links(Page(run.text)))
    assert {"tables/padim_1class.csv", "tables/claims.csv", "tables/dataset_overview.csv"} <= set(links)
    assert any(link.startswith("figures/VisA/candle/") for link in links)
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not link.startswith("/")
        assert (run.out / unquote(parts.path)).is_file()
    ids = [attributes["id"] for _, attributes in Page(run.text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    fragments = {a["href"][1:] for a in Page(run.text).of("a") if a["href"].startswith("#")}
    assert fragments <= set(ids) and {"maps", "claims", "training", "data", "runs"} <= fragments


def test_what_a_pretraining_knows_is_shown_with_its_protocol_and_note(run):
    judged = run.text[run.text.index('id="judged"') : run.text.index('id="data"')]
    assert "Protocol: central crops." in judged
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", judged, re.S)[1:]]
    assert rows[0] == ["Sup,", "resnet50,", "seed", "0", "50.0", "62.5"]
    assert rows[1] == ["Sup", "+", "SPD,", "resnet50,", "seed", "0", "50.0", "62.5", "50.4"]
    assert "<li>Sup + SPD, resnet50, seed 0: it guesses.</li>" in judged and judged.count("<li>") == 1
    assert len(rows) == 4


def test_a_pretraining_far_below_its_publication_is_flagged_on_the_page(run, tmp_path):
    # Of the page's records, and of the cells behind its table.
    hashes = {read_json(one.record)["provenance"]["checkpoint"] for one in run.sources_.backbones}
    hashes |= {cell.provenance.checkpoint for cell in read_cells(run.sources_.tables[0].cells)}
    found = {"protocol": "linear", "source": "README", "published": 67.5, "top1": 60.0}
    linear = [{**found, "checkpoint": one} for one in hashes]
    page = write_site(replace(run.sources_, linear=linear), tmp_path, preset="demo").read_text()
    said = "by the linear protocol it is right in 60.0 % of ImageNet's validation images, 7.5 points below"
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    assert "50.0 62.5 60.0 67.5" in text and f"seed 0: {said}" in text, "what each pre-training knows"
    assert f"moco, seed 0: {said}" in text, "the table that uses it"
    assert "points below" not in run.text


def test_nothing_is_asked_of_a_network(run):
    assert not re.findall(r"(?:https?:)?//[a-z]", run.text.replace("http://www.w3.org/2000/svg", ""))
    assert "@import" not in run.text and "url(" not in run.text
    policy = next(m["content"] for m in Page(run.text).of("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_pictures_of_the_browser_lie_there_and_no_others(run):
    browser = Page(run.text).browser
    assert browser["folder"] == "site"
    assert set(pictures(browser)) == {path.name for path in (run.out / "site").iterdir()}
    (view,) = browser["views"]
    assert [m["partner"] for m in view["methods"]] == [None, 0, None, 2]
    assert [o["name"] for o in view["objects"]] == run.objects
    for object_ in view["objects"]:
        assert [len(case["maps"]) for case in object_["cases"]] == [4] * 6
        assert object_["keys"] == [f"cell/VisA/{name}" for name, *_ in run.rows]
    case = view["objects"][0]["cases"][0]
    assert Image.open(run.out / "site" / case["maps"][0]).size == (24, 24)


def test_a_heat_map_is_that_of_its_image_and_method(run):
    from spd.report.cases import in_normal_units
    from spd.report.pictures import _coloured, _encode
    from spd.tensors import open_tensors

    object_ = Page(run.text).browser["views"][0]["objects"][1]
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
    expected = {f"VisA/{name}/{stem}.png" for name in run.objects for stem in stems} | {"pretraining.png"}
    assert {path.relative_to(figures).as_posix() for path in figures.rglob("*.*")} == expected
    again = write_figures(run.sources_.scored[:2], {}, tmp_path)
    assert len(again) == 2 * len(run.objects)
    for path in again:
        assert path.read_bytes() == (figures / path.relative_to(tmp_path)).read_bytes()


def test_figures_of_a_pretraining_are_found_again(run):
    view = next(iter(views(run.sources_.scored)))
    figures = run.out / "figures"  # of the first pair alone
    assert [p.parent.name for p in figures_of(figures, view, "sup_spd")] == sorted(run.objects)
    assert figures_of(figures, view, "sup") == figures_of(figures, view, "moco_spd") == []


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
    assert len(rows) == len(run.rows) * len(run.objects)
    assert rows[0][:4] == ["VisA", "candle", "Sup", "50.0"] and rows[0][4] == ""
    assert rows[4][:5] == ["VisA", "candle", "Sup + SPD", "51.0", "+1.0"]
    keys = re.findall(r'data-key="([^"]*)"', body)
    assert float(keys[0]) == 50.0


def test_banner_is_kept_where_the_numbers_are_no_results(run, tmp_path):
    assert 'class="banner" role="note">Not a result.' in run.text
    assert "Generated images" not in run.text
    made = replace(run.sources_, generated=["VisA"])
    text = write_site(made, tmp_path / "made", preset="demo").read_text()
    assert "Not a result. Generated images, a narrow" in text
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
    codes = "".join(Page(run.text).texts["code"])
    for name, *_ in run.rows:
        assert f"tags.\"spd.run_key\" = 'cell/VisA/{name}'" in codes
        assert f"tags.\"spd.run_key\" = 'backbone/{name}/seed0'" in codes
    assert search("a'b") == 'tags."spd.run_key" = "a\'b"'


def test_every_row_of_objects_links_to_its_run(run):
    body = re.search(r"every object; the column heads sort.*?<tbody>(.*?)</tbody>", run.text, re.S)[1]
    rows = body.split("<tr>")[1:]
    labels = {label if spd == "none" else f"{label} + SPD": name for name, label, spd, _ in run.rows}
    for row in rows:
        words = re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]*)", row)
        (anchor,) = re.findall(r'<a href="#([^"]+)">run</a>', row)
        target = re.findall(rf'<tr><td id="{anchor}".*?</tr>', run.text)
        assert len(target) == 1
        assert html.escape(f"'cell/VisA/{labels[words[2]]}'") in target[0].replace("&#39;", "&#x27;")


def test_marks_of_meaning_are_there(run):
    page = Page(run.text)
    assert page.open == [] and page.of("html")[0]["lang"] == "en"
    assert len(page.of("h1")) == len(page.of("main")) == 1 and page.of("nav")[0]["aria-label"]
    for table in re.findall(r"<table.*?</table>", run.text, re.S):
        assert 'scope="col"' in table
    for box in (a for a in page.of("div") if a.get("class") == "scroll"):
        assert box["tabindex"] == "0" and box["aria-label"]  # a box that scrolls can be reached by keyboard
    for svg in page.of("svg"):
        assert svg.get("aria-label") or svg.get("aria-hidden") == "true"


@pytest.mark.parametrize("masks", [True, False])
def test_hostile_names_are_shown_as_they_are(tmp_path, make_run, masks):
    made = make_run(tmp_path)
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
    write_tensors(wrong, {f"{o}/maps": np.zeros((2, 4, 4), np.float16) for o in run.objects}, {})
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
    style = Page(run.text).texts["style"][0]
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


def test_the_full_size_stays_small(tmp_path, make_run):
    page = make_run(tmp_path).full_size()
    files = [page, *(page.parent / "site").iterdir()]
    # 12 objects x 6 cases x (16 heat maps + image + mask), none of them equal to another.
    assert len(files) == 1 + 12 * 6 * 18
    assert sum(path.stat().st_size for path in files) < 60e6
    # What a browser reads before it shows anything; pictures load as they come into view.
    assert page.stat().st_size < 1.5e6
