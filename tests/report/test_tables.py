import csv
import html
import html.parser
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest

from spd.report.claims import write_claims
from spd.report.options import TableOptions
from spd.report.tables import write_overview, write_table


class Grid(html.parser.HTMLParser):
    """Texts of an HTML page's table cells, row by row, as a browser would show them."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._open = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data):
        if self._open:
            self.rows[-1][-1] += data


def markdown_rows(text):
    """Cells of every Markdown table line, unescaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [html.unescape(re.sub(r"\\(.)", r"\1", cell.strip())) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]


@pytest.fixture
def padim(cells, cell_content):
    """The poster's eight rows on two data sets, value = 50 + row + 10 x metric number; SPD adds one point."""

    def make(preset="paper"):
        contents = []
        for dataset in ("VisA", "MVTec-AD"):
            for i, (label, spd, labels) in enumerate(ROWS):
                numbers = {"AU-PR": 0.5 + i / 100, "AU-ROC": 0.6 + i / 100, "AP": 0.7}
                contents.append(
                    cell_content(
                        f"{label.lower()}_{spd}", label=label, spd=spd, labels=labels, dataset=dataset,
                        classification={"x": numbers}, segmentation={"x": numbers},
                        provenance={"preset": preset},
                    )
                )  # fmt: skip
        return cells(*contents)

    return make


ROWS = [
    (label, spd, label == "Sup") for label in ("Sup", "SimSiam", "MoCo", "SimCLR") for spd in ("none", "spd")
]
NAMES = [f"{label.lower()}_{spd}" for label, spd, _ in ROWS]


def test_padim_table_has_the_posters_arrangement(padim, options, tmp_path):
    write_table(
        padim("demo"),
        "t",
        options(label_columns=["labels"], datasets=["VisA", "MVTec-AD"], rows=NAMES),
        tmp_path,
    )
    rows = Grid((tmp_path / "t.html").read_text()).rows
    assert rows[0] == ["Pre-training", "ImageNet labels", "VisA", "MVTec-AD"]
    assert rows[1] == ["classification", "segmentation"] * 2
    assert rows[2] == ["AU-PR", "AU-ROC"] * 4
    assert rows[3] == ["Sup", "yes"] + ["50.0", "60.0"] * 4
    assert rows[4] == ["Sup + SPD", "yes"] + ["51.0 (+1.0)", "61.0 (+1.0)"] * 4
    assert [row[:2] for row in rows[5:7]] == [["SimSiam", "no"], ["SimSiam + SPD", "no"]]
    assert len(rows) == 3 + 8
    assert markdown_rows((tmp_path / "t.md").read_text())[2:] == rows[3:]


def test_files_promised_are_written_whole_and_alone(padim, options, tmp_path):
    paths = write_table(padim(), "t", options(rows=NAMES), tmp_path / "tables")
    expected = {f"t.{s}" for s in ("csv", "md", "tex", "html")} | {
        f"t_objects.{s}" for s in ("md", "tex", "html")
    }
    assert {path.name for path in paths} == expected == {p.name for p in (tmp_path / "tables").iterdir()}


def test_the_same_results_give_the_same_bytes(padim, options, tmp_path):
    for folder, order in (("one", 1), ("again", 1), ("turned", -1)):
        write_table(padim()[::order], "t", options(rows=NAMES), tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        assert path.read_bytes() == (tmp_path / "turned" / path.name).read_bytes()


def test_csv_reads_back_with_empty_cells(padim, options, tmp_path):
    write_table(padim("demo"), "t", options(rows=NAMES), tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    first = rows[0]
    assert (first["object"], first["value"], first["n"], first["shots"], first["published"]) == (
        "x", "50.0", "1", "", "",
    )  # fmt: skip
    assert {row["metric"] for row in rows} == {"AU-PR", "AU-ROC", "AP"}


def test_demo_says_that_it_is_none_and_paper_does_not(padim, options, tmp_path):
    for preset in ("demo", "paper"):
        write_table(padim(preset), "t", options(rows=NAMES, published=["poster_ablation"]), tmp_path / preset)
        for suffix in ("md", "html", "tex"):
            text = (tmp_path / preset / f"t.{suffix}").read_text()
            assert ("Not a result" in text) == (preset == "demo")
            assert ("published" in text.lower()) == (preset == "paper")


def test_the_banner_names_what_was_generated(padim, options, tmp_path):
    for generated in (["VisA"], []):
        write_table(padim("demo"), "t", options(rows=NAMES), tmp_path, generated=generated)
        for name in ("t.md", "t.html", "t.tex", "t_objects.html"):
            text = (tmp_path / name).read_text()
            assert ("Generated images" in text) == bool(generated) and "Not a result" in text


def test_published_columns_and_signs(padim, options, tmp_path):
    write_table(
        padim(), "t", options(label_columns=["labels"], rows=NAMES, published=["poster_ablation"]), tmp_path
    )
    page = (tmp_path / "t.html").read_text()
    rows = {row[0]: row for row in Grid(page).rows if row}
    # SimSiam + SPD is row 3: 53.0 against 82.8, and AU-ROC 63.0 against 81.2.
    assert rows["SimSiam + SPD"][2:8] == ["53.0 (+1.0)", "82.8", "−29.8", "63.0 (+1.0)", "81.2", "−18.2"]
    assert rows["Sup"][2:5] == ["50.0", "", ""]
    assert '<span class="down">−29.8</span>' in page and '<small class="up">(+1.0)</small>' in page


def test_swapped_and_second_hand_values_are_marked(cells, cell_content, options, tmp_path):
    numbers = {"x": {"AU-PR": 0.5}}
    contents = [
        cell_content(
            "w", dataset="MVTec-AD", detector="PatchCore", backbone="wide_resnet50_2", classification=numbers
        )
    ]
    chosen = options(
        detector="patchcore", datasets=["MVTec-AD"], rows=["w"], published=["poster_patchcore_as_printed"]
    )
    write_table(cells(*contents), "swapped", chosen, tmp_path)
    rows = markdown_rows((tmp_path / "swapped.md").read_text())
    assert rows[2][-3:] == ["50.0", "99.2‡", ""]
    assert "‡ The poster's AU-PR and AU-ROC columns" in (tmp_path / "swapped.md").read_text()
    contents = [cell_content("sup", segmentation=numbers)]
    write_table(cells(*contents), "second", options(published=["paper_values_secondary"]), tmp_path)
    assert markdown_rows((tmp_path / "second.md").read_text())[2][-3:] == ["50.0", "11.4†", "+38.6"]
    assert "† Second-hand" in (tmp_path / "second.md").read_text()


def test_two_class_rows_join_classifier_and_unet(cells, cell_content, options, tmp_path):
    contents = []
    for detector, task in (("classifier", "classification"), ("U-Net", "segmentation")):
        for shots in (5, 10):
            for draw, value in enumerate((0.2, 0.4)):
                numbers = {"x": {"AU-PR": value + shots / 100, "AU-ROC": 0.9}}
                contents.append(
                    cell_content(
                        setup="2cls_fewshot", detector=detector, shots=shots, draw=draw, **{task: numbers}
                    )
                )
    chosen = options(label_columns=["labels"], setup="2cls_fewshot", detector=None, rows=["sup"])
    write_table(cells(*contents), "t", chosen, tmp_path)
    rows = Grid((tmp_path / "t.html").read_text()).rows
    assert rows[1] == ["classification", "segmentation"]
    assert rows[2] == ["5-shot", "10-shot"] * 2
    assert len(rows) == 5
    assert rows[4] == ["Sup", "yes"] + ["35.0 ± 14.1", "90.0 ± 0.0", "40.0 ± 14.1", "90.0 ± 0.0"] * 2
    assert "few-shot draws 0, 1" in (tmp_path / "t.md").read_text()


def two_class(cell_content, setup, runs):
    """The poster's eight rows, both tasks, two objects; SPD adds two points, each draw ten."""
    for label, spd, labels in ROWS:
        for detector, task in (("classifier", "classification"), ("U-Net", "segmentation")):
            for shots, draw in runs:
                value = 0.5 + 0.02 * (spd == "spd") + 0.1 * (draw or 0)
                numbers = {o: {"AU-PR": value + d, "AU-ROC": value + d} for o, d in (("a", 0), ("b", 0.02))}
                yield cell_content(
                    f"{label.lower()}_{spd}", label=label, spd=spd, labels=labels, setup=setup,
                    detector=detector, task=task, shots=shots, draw=draw, **{task: numbers},
                )  # fmt: skip


POSTERS = ["Sup", "SimSiam", "SimSiam + SPD", "MoCo", "MoCo + SPD", "SimCLR", "SimCLR + SPD", "Sup + SPD"]
IN_POSTERS_ORDER = [
    f"{word.split(' + ')[0].lower()}_{'spd' if 'SPD' in word else 'none'}" for word in POSTERS
]


def test_few_shot_table_stands_beside_the_posters(cells, cell_content, options, tmp_path):
    contents = two_class(cell_content, "2cls_fewshot", [(k, draw) for k in (5, 10) for draw in range(3)])
    chosen = options(
        label_columns=["labels"], setup="2cls_fewshot", detector=None, rows=IN_POSTERS_ORDER,
        published=["poster_2cls_fewshot", "paper_values_secondary"],
    )  # fmt: skip
    write_table(cells(*contents), "twoclass_fewshot", chosen, tmp_path)
    rows = Grid((tmp_path / "twoclass_fewshot.html").read_text()).rows
    assert rows[0] == ["Pre-training", "ImageNet labels", "VisA"]
    assert rows[1] == ["classification", "segmentation"] and rows[2] == ["5-shot", "10-shot"] * 2
    assert rows[3] == ["AU-PR", "AU-ROC"] * 4 and rows[4] == ["ours", "published", "difference"] * 8
    body = rows[5:13]
    assert [row[0] for row in body] == POSTERS
    assert body[2][2:5] == ["63.0 ± 10.0 (+2.0)", "56.1", "+6.9"]
    assert all(row[i] for row in body for i in range(3, 26, 3))  # the poster prints every cell
    frame = pd.read_csv(tmp_path / "twoclass_fewshot.csv")
    means = frame[frame["object"] == "mean"]
    assert len(means) == 8 * 2 * 2 * 2 and set(means["source"]) == {"poster"} and set(means["n"]) == {3}
    assert "5-shot" in (tmp_path / "twoclass_fewshot_objects.md").read_text()


def test_high_shot_table_has_the_few_second_hand_values_there_are(cells, cell_content, options, tmp_path):
    chosen = options(
        label_columns=["labels"], setup="2cls_highshot", detector=None, rows=IN_POSTERS_ORDER,
        published=["paper_values_secondary"],
    )  # fmt: skip
    contents = two_class(cell_content, "2cls_highshot", [(None, None)])
    write_table(cells(*contents), "twoclass_highshot", chosen, tmp_path)
    rows = Grid((tmp_path / "twoclass_highshot.html").read_text()).rows
    assert rows[1] == ["classification", "segmentation"] and rows[2] == ["AU-PR", "AU-ROC"] * 2
    body = {row[0]: row[2:] for row in rows[4:12]}
    assert list(body) == POSTERS
    assert body["Sup"] == [
        "51.0",
        "97.5†",
        "−46.5",
        "51.0",
        "99.5†",
        "−48.5",
        "51.0",
        "65.1†",
        "−14.1",
        "51.0",
        "",
        "",
    ]
    assert body["SimSiam + SPD"][6:9] == ["53.0 (+2.0)", "59.7†", "−6.7"]
    assert body["MoCo"] == ["51.0", "", ""] * 4


def test_ablation_names_the_backbone_and_the_variant(cells, cell_content, options, tmp_path):
    variants = ["none", "spd", "spd_eta0.5", "spd_eta1.0", "spd_cutpaste", "spd_xent", "spd_mine"]
    contents = [
        cell_content(s, label="SimSiam", spd=s, labels=False, classification={"x": {"AU-PR": 0.5}})
        for s in variants
    ]
    write_table(cells(*contents), "t", options(label_columns=["backbone"], rows=variants), tmp_path)
    assert [row[:2] for row in markdown_rows((tmp_path / "t.md").read_text())[2:]] == [
        [f"SimSiam{word}", "resnet50"]
        for word in (
            "", " + SPD", " + SPD (η = 0.5)", " + SPD (η = 1.0)", " + SPD w/ CutPaste", " + SPD w/ Xent",
            " + spd_mine",
        )
    ]  # fmt: skip


def test_profiles_are_blocks_of_rows(cells, cell_content, options, tmp_path):
    contents = [
        cell_content(profile=profile, classification={"x": {"AU-PR": value}})
        for profile, value in (("full", 0.7), ("paper", 0.6))
    ]
    write_table(cells(*contents), "t", options(rows=["sup"], profiles=["paper", "full"]), tmp_path)
    rows = markdown_rows((tmp_path / "t.md").read_text())[2:]
    assert [(row[-2], row[-1]) for row in rows] == [("paper", "60.0"), ("full", "70.0")]


def test_object_table_has_a_row_an_object_and_the_mean_last(cells, cell_content, options, tmp_path):
    contents = [
        cell_content(name, spd=spd, classification={"b": {"AU-PR": 0.5 + d}, "a": {"AU-PR": 0.7 + d}})
        for name, spd, d in (("sup", "none", 0), ("sup_spd", "spd", 0.1))
    ]
    write_table(cells(*contents), "t", options(), tmp_path)
    rows = markdown_rows((tmp_path / "t_objects.md").read_text())
    assert rows[0] == ["Object", "Sup", "Sup + SPD"]
    assert rows[2:] == [
        ["a", "70.0", "80.0 (+10.0)"], ["b", "50.0", "60.0 (+10.0)"], ["**mean**", "60.0", "70.0 (+10.0)"]
    ]  # fmt: skip


def test_one_code_version_is_said_plainly_and_two_of_one_detector_by_cell(
    cells, cell_content, options, tmp_path
):
    contents = [
        cell_content(
            name, spd=spd, classification={"x": {"AU-PR": 0.5}}, provenance={"code": code}
        )
        for name, spd, code in (("sup", "none", "aaaa"), ("sup_spd", "spd", "bbbb"))
    ]  # fmt: skip
    write_table(cells(*contents), "t", options(), tmp_path)
    text = (tmp_path / "t.md").read_text()
    assert "MIXED VERSIONS" in text
    assert re.search(r"source aaaa.*: PaDiM VisA paper sup;.*source bbbb.*: PaDiM VisA paper sup", text)
    write_table(cells(contents[0]), "t", options(), tmp_path)
    text = (tmp_path / "t.md").read_text()
    assert "MIXED" not in text and "source aaaa, commit abc1234 of 2022-10-23" in text


def test_backbones_trained_by_different_code_are_named(cells, cell_content, options, tmp_path):
    contents = [
        cell_content(
            name, spd=spd, classification={"x": {"AU-PR": 0.5}}, provenance={"pretraining_code": code}
        )
        for name, spd, code in (("sup", "none", "aaaa"), ("sup_spd", "spd", "bbbb"))
    ]  # fmt: skip
    write_table(cells(*contents), "t", options(), tmp_path)
    text = (tmp_path / "t.md").read_text().replace("\\", "")
    assert "Pre-training code: MIXED VERSIONS. source aaaa: sup; source bbbb: sup_spd" in text
    write_table(cells(contents[1]), "t", options(), tmp_path)
    assert "Pre-training code: source bbbb\n" in (tmp_path / "t.md").read_text()


def test_what_the_judging_of_a_pretraining_found_stands_under_its_tables(
    cells, cell_content, options, tmp_path
):
    contents = [
        cell_content(
            "sup_spd", spd="spd", dataset=dataset, classification={"x": {"AU-PR": 0.5}},
            provenance={"pretraining_notes": ["its classifier guesses"]},
        )
        for dataset in ("VisA", "MVTec-AD")
    ]  # fmt: skip
    write_table(cells(*contents), "t", options(datasets=["VisA", "MVTec-AD"]), tmp_path)
    text = (tmp_path / "t.md").read_text().replace("\\", "")
    assert text.count("sup_spd, seed 0: its classifier guesses.") == 1


def test_footer_holds_provenance_and_the_way_to_rebuild(padim, options, tmp_path):
    write_table(padim(), "mytable", options(rows=NAMES), tmp_path)
    text = (tmp_path / "mytable.html").read_text()
    for part in (
        "split 555555555555", "images dddddddddddd", "PaDiM, profile paper: crop 224, resize [256, 256]",
        "AU-PR = trapezoid", "pre-training seeds 0",
        "snakemake --cores all mytable --config preset=paper",
    ):  # fmt: skip
        assert part in text


def test_a_fingerprint_that_is_no_hash_is_shown_whole(cells, cell_content, options, tmp_path):
    fingerprint = "elpv-dataset 1.0.0.post1"
    contents = cell_content(
        classification={"x": {"AU-PR": 0.5}}, provenance={"data_fingerprint": fingerprint}
    )
    write_table(cells(contents), "t", options(), tmp_path)
    assert f"split 555555555555, images {fingerprint}" in (tmp_path / "t.html").read_text()


def test_what_a_detector_noted_is_in_the_footer(cells, cell_content, options, tmp_path):
    notes = {o: {"notes": ["PaDiM: all 8 channels are used."]} for o in "abcde"}
    values = {o: {"AU-PR": 0.5} for o in "abcde"}
    write_table(cells(cell_content(classification=values, more=notes)), "t", options(), tmp_path)
    where = "VisA a with sup, VisA b with sup, VisA c with sup and 2 more"
    assert f"PaDiM: all 8 channels are used ({where})." in (tmp_path / "t.html").read_text()


def test_defect_types_have_rows_of_their_own(cells, cell_content, options, tmp_path):
    contents = []
    for name, spd, gain in (("sup", "none", 0), ("sup_spd", "spd", 0.1)):
        types = {"scratch": {"AU-PR": 0.4 + gain}, "dent": {"AU-PR": 0.6 + gain}}
        pixels = {"scratch": {"AU-PR": 0.2 + gain}}
        more = {
            "a": {"by_defect": types, "by_defect_segmentation": pixels},
            "b": {"by_defect": {"dent": {"AU-PR": 0.3}}},
        }
        values = {"a": {"AU-PR": 0.5}, "b": {"AU-PR": 0.5}}
        contents.append(cell_content(name, spd=spd, classification=values, more=more))
    write_table(cells(*contents), "t", options(), tmp_path)
    text = (tmp_path / "t_objects.md").read_text()
    assert "## VisA, classification, by defect type, AU-PR" in text
    assert "## VisA, segmentation, by defect type, AU-PR" in text
    rows = markdown_rows(text)
    head = ["Object", "Defect type", "Sup", "Sup + SPD"]
    first = rows.index(head)
    second = rows.index(head, first + 1)
    assert rows[first + 2 : second] == [
        ["a", "dent", "60.0", "70.0 (+10.0)"], ["a", "scratch", "40.0", "50.0 (+10.0)"],
        ["b", "dent", "30.0", "30.0 (0.0)"],
    ]  # fmt: skip
    assert rows[second + 2 :] == [["a", "scratch", "20.0", "30.0 (+10.0)"]]
    assert "scratch" not in (tmp_path / "t.csv").read_text()


def test_intervals_say_what_they_redraw(padim, cells, cell_content, options, tmp_path):
    write_table(padim(), "t", options(rows=NAMES), tmp_path)
    # One object, one seed, no scores kept: nothing to redraw, and nothing said of intervals.
    assert "edraw" not in (tmp_path / "t.md").read_text()
    scores = {
        o: {"image_scores": {"anomalous": [False, True, True], "scores": [0.1, 0.2, 0.3]}} for o in "ab"
    }
    metrics = {o: {"AU-PR": 1.0} for o in "ab"}
    contents = [
        cell_content(name, spd=spd, classification=metrics, segmentation=metrics, more=scores)
        for name, spd in (("sup", "none"), ("sup_spd", "spd"))
    ]
    write_table(cells(*contents), "t", options(), tmp_path)
    text = (tmp_path / "t.md").read_text()
    assert (
        "Redrawn are, for classification: objects, images; for segmentation: objects, images within" in text
    )


def test_names_are_escaped_everywhere(cells, cell_content, options, tmp_path):
    nasty = "<i>a_b</i> & 5% $x$ | é"
    contents = [
        cell_content(label=nasty, classification={nasty: {"AU-PR": 0.5}}, provenance={"metric": nasty})
    ]
    write_table(cells(*contents), "t", options(title=nasty, caption=nasty, rows=["sup"]), tmp_path)
    for stem in ("t", "t_objects"):
        page = (tmp_path / f"{stem}.html").read_text()
        assert "<i>" not in page
        assert any(nasty in row for row in Grid(page).rows)
        assert any(nasty in row for row in markdown_rows((tmp_path / f"{stem}.md").read_text()))
        tex = (tmp_path / f"{stem}.tex").read_text()
        assert r"a\_b" in tex and r"5\%" in tex and "$x$" not in tex and "a_b" not in tex


def test_html_asks_nothing_of_the_network(padim, options, tmp_path):
    write_table(padim(), "t", options(rows=NAMES), tmp_path)
    page = (tmp_path / "t.html").read_text()
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", page)


def contrast(one, other):
    """WCAG 2.2's ratio of two colours #rrggbb."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_has_enough_contrast_in_light_and_dark(padim, options, tmp_path, scheme):
    write_table(padim("demo"), "t", options(rows=NAMES), tmp_path)
    page = (tmp_path / "t.html").read_text()
    colours = dict(re.findall(r"--([a-z-]+): (#\w{6})", re.findall(r":root \{(.*?)\}", page, re.S)[scheme]))
    for ink in ("ink", "soft", "up", "down"):
        for ground in ("page", "band"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["warn-ink"], colours["warn"]) >= 4.5


def test_no_results_is_an_error_that_names_the_rows(cells, cell_content, options, tmp_path):
    foreign = cells(cell_content("vit", classification={"x": {"AU-PR": 0.5}}))
    with pytest.raises(ValueError, match=r"table t.*sup, sup_spd"):
        write_table(foreign, "t", options(), tmp_path)


def test_rows_without_results_are_named(cells, cell_content, options, tmp_path):
    write_table(cells(cell_content(classification={"x": {"AU-PR": 0.5}})), "t", options(), tmp_path)
    assert "No results yet for: sup_spd" in (tmp_path / "t.md").read_text().replace("\\", "")


@pytest.mark.parametrize("suffix", ["t", "t_objects", "overview"])
def test_latex_columns_agree(padim, options, tmp_path, suffix):
    write_table(padim(), "t", options(rows=NAMES, published=["poster_ablation"]), tmp_path)
    write_overview(OVERVIEW, "overview", tmp_path)
    for table in (tmp_path / f"{suffix}.tex").read_text().split("\\begin{tabular}")[1:]:
        spec, body = re.match(r"\{@\{\}([lr]+)@\{\}\}(.*?)\\bottomrule", table, re.S).groups()
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert lines
        for line in lines:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == len(spec), line


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH (make test-tools)")
def test_latex_compiles(padim, cells, cell_content, options, tmp_path):
    nasty = r"a_b & 5% $x$ #1 {~} ^ \\ --- [*] <“é”>"
    write_table(padim(), "t", options(rows=NAMES, published=["poster_ablation"]), tmp_path)
    contents = two_class(cell_content, "2cls_fewshot", [(k, draw) for k in (5, 10) for draw in range(2)])
    few = options(
        title=nasty, label_columns=["labels"], setup="2cls_fewshot", detector=None, rows=IN_POSTERS_ORDER,
        published=["poster_2cls_fewshot"],
    )  # fmt: skip
    write_table(cells(*contents), "few", few, tmp_path)
    types = {nasty: {"by_defect": {nasty: {"AU-PR": 0.3}}, "notes": [nasty]}}
    write_table(
        cells(cell_content(label=nasty, classification={nasty: {"AU-PR": 0.5}}, more=types)),
        "odd", options(rows=["sup"]), tmp_path,
    )  # fmt: skip
    write_overview(OVERVIEW, "overview", tmp_path, title=nasty, notes=[nasty])
    write_claims({"padim_1class": pd.read_csv(tmp_path / "t.csv")}, tmp_path, preset="paper")
    stems = sorted(path.stem for path in tmp_path.glob("*.tex"))
    assert stems == ["claims", "few", "few_objects", "odd", "odd_objects", "overview", "t", "t_objects"]
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx,longtable}"
    inputs = "".join(rf"\input{{{stem}}}\clearpage" for stem in stems)
    (tmp_path / "main.tex").write_text(preamble + r"\begin{document}" + inputs + r"\end{document}")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Missing character" not in (tmp_path / "main.log").read_bytes()


OVERVIEW = pd.DataFrame(
    [
        ("VisA", "1cls", "pcb_1", "train", "normal", 904, 904),
        ("VisA", "1cls", "pcb_1", "test", "anomaly", 100, 100),
        ("VisA", "1cls", "fryum", "train", "normal", 449, 450),
        ("VisA", "1cls", "fryum", "test", "anomaly", 100, 100),
        ("Toy", "1cls", "x", "train", "normal", 3, None),
        ("Toy", "1cls", "x", "test", "anomaly", 2, None),
    ],
    columns=["dataset", "setup", "object", "split", "label", "found", "stated"],
).astype({"found": "Int64", "stated": "Int64"})


def test_overview_shows_found_and_stated(tmp_path):
    write_overview(OVERVIEW, "dataset_overview", tmp_path, preset="demo", notes=["VisA: CC BY 4.0"])
    text = (tmp_path / "dataset_overview.md").read_text()
    assert markdown_rows(text)[0][3:5] == ["train, normal, found", "train, normal, stated"]
    assert markdown_rows(text)[2:] == [
        ["VisA", "1cls", "pcb_1", "904", "904", "100", "100"],
        ["VisA", "1cls", "fryum", "449", "450≠", "100", "100"],
        ["**VisA**", "**1cls**", "**total**", "1353", "1354≠", "200", "200"],
        ["Toy", "1cls", "x", "3", "", "2", ""],
        ["**Toy**", "**1cls**", "**total**", "3", "", "2", ""],
    ]
    assert "VisA: CC BY 4.0" in text and "Found and stated differ" in text
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "dataset_overview.csv", dtype=dict(OVERVIEW.dtypes)), OVERVIEW
    )
    assert {p.suffix for p in tmp_path.iterdir()} == {".csv", ".md", ".tex", ".html"}


def test_the_same_overview_gives_the_same_bytes(tmp_path):
    for folder in ("one", "again"):
        write_overview(OVERVIEW, "o", tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_overview_without_published_counts_has_one_column_each(tmp_path):
    write_overview(OVERVIEW[4:], "o", tmp_path)
    assert markdown_rows((tmp_path / "o.md").read_text())[0][3:] == ["train, normal", "test, anomaly"]


def test_data_sets_stand_in_the_order_of_the_options_and_no_others(cells, cell_content, options, tmp_path):
    names = ("VisA", "Toy", "MVTec-AD")
    contents = [cell_content(dataset=name, classification={"x": {"AU-PR": 0.5}}) for name in names]
    write_table(cells(*contents), "t", options(datasets=["MVTec-AD", "VisA"]), tmp_path)
    assert Grid((tmp_path / "t.html").read_text()).rows[0][-2:] == ["MVTec-AD", "VisA"]
    assert "Toy" not in (tmp_path / "t.csv").read_text()


def test_detector_and_setup_must_fit():
    common = {"title": "t", "datasets": ["VisA"], "rows": ["sup"]}
    with pytest.raises(ValueError, match="detector"):
        TableOptions(**common, setup="1cls")
    with pytest.raises(ValueError, match="detector"):
        TableOptions(**common, setup="2cls_fewshot", detector="padim")
