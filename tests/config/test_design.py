import itertools
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from spd.config import design as module
from spd.config.design import Backbone, Design
from spd.config.model import load

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
ONE_EACH = {"compute": {"objects_per_job": "one"}}
CONTINUED = {
    "pretrainings": {
        "later": {
            "label": "later",
            "backbone": "resnet50",
            "recipe": "simsiam",
            "init": "start",
            "seeds": [3, 5],
        },
        "start": {
            "label": "start",
            "backbone": "resnet50",
            "recipe": "moco",
            "init": "first",
            "seeds": [5, 7],
        },
        "first": {"label": "first", "source": {"source": "random", "architecture": "resnet18"}},
    },
    "tables": {"padim_1class": {"rows": ["later", "sup"]}},
}


def of(preset, *overlays):
    overrides = {"preset": preset}
    for overlay in overlays:
        overrides |= overlay
    return Design(load(CONFIG, overrides))


def belongs(experiment, table, row, seed, dataset, detector, profile, part, run):
    """Whether a table asks for this combination: written as a question of each, without loops of its own."""
    if (
        row not in table.rows
        or seed not in experiment.pretrainings[row].seeds
        or dataset not in table.datasets
    ):
        return False
    if detector not in ([table.detector] if table.setup == "1cls" else ["classifier", "unet"]):
        return False
    if profile not in table.profiles:
        return False
    objects = experiment.datasets[dataset].objects
    if experiment.compute.objects_per_job == "one" and objects is not None:
        if unquote(part) not in objects:
            return False
    elif part != "all":
        return False
    if table.setup == "2cls_fewshot":
        k, _, draw = run.partition("shot-draw")
        return draw != "" and int(k) in experiment.fewshot.shots and int(draw) < experiment.fewshot.draws
    return run == {"1cls": "", "2cls_highshot": "all"}[table.setup]


def brute_force(experiment, table):
    """Every path that any table could have, asked of one table; sorted as its rows stand."""
    rows, seeds = (
        list(experiment.pretrainings),
        sorted({s for p in experiment.pretrainings.values() for s in p.seeds}),
    )
    objects = {name: data.objects or [] for name, data in experiment.datasets.items()}
    parts = ["all", *{one.replace("/", "%2F") for several in objects.values() for one in several}]
    detectors = experiment.detectors
    profiles = {name for d in detectors for name in experiment.detectors[d]}
    runs = ["", "all", *(f"{k}shot-draw{n}" for k in (1, 2, 5, 10) for n in range(6))]
    order = {run: place for place, run in enumerate(runs)}
    found = []
    for at in itertools.product(rows, seeds, experiment.datasets, detectors, profiles, parts, runs):
        if not belongs(experiment, table, *at):
            continue
        row, seed, dataset, detector, profile, part, run = at
        path = f"cells/{dataset}/{table.setup}/{detector}-{profile}/{part}/{row}-seed{seed}"
        place = (
            table.rows.index(row),
            experiment.pretrainings[row].seeds.index(seed),
            table.profiles.index(profile),
            ["padim", "patchcore", "classifier", "unet"].index(detector),
            table.datasets.index(dataset),
            0 if part == "all" else objects[dataset].index(unquote(part)),
            order[run],
        )
        found.append((place, f"{path}/{run}.json" if run else f"{path}.json"))
    return [path for _, path in sorted(found)]


@pytest.mark.parametrize(
    ("preset", "overlay"), [("tiny", {}), ("demo", {}), ("demo", ONE_EACH), ("paper", {})]
)
def test_a_tables_cells_are_every_combination_that_belongs_to_it_in_its_rows_order(preset, overlay):
    design = of(preset, overlay)
    for name, table in design.experiment.tables.items():
        cells = design.cells(name)
        assert [cell.path for cell in cells] == brute_force(design.experiment, table)
        for cell in cells:
            assert cell.geometry == design.experiment.detectors[cell.detector][cell.profile].geometry
            assert (cell.run is not None) == cell.two_class == (table.setup != "1cls")


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_all_cells_are_the_tables_each_once_and_no_two_share_a_file(preset):
    design = of(preset)
    cells = design.cells()
    listed = [cell for name in design.experiment.tables for cell in design.cells(name)]
    assert len(listed) > len(cells) == len(set(listed))  # the ablation reads rows of padim_1class
    assert [cell for at, cell in enumerate(listed) if cell not in listed[:at]] == cells
    assert len({cell.path for cell in cells}) == len(cells)
    # One job of a 2-class detector makes all of its runs; what else a job makes is its own.
    runs = {"1cls": 1, "2cls_highshot": 1, "2cls_fewshot": len(design.runs("2cls_fewshot"))}
    jobs = [cell.job for cell in cells]
    assert all(jobs.count(cell.job) == runs[cell.setup] for cell in cells)
    assert [cell for cell in cells if not cell.two_class and cell.seed == 0] == design.pictured


def test_where_a_cell_and_what_it_hangs_on_lie():
    design = of("paper")
    one = design.cells("padim_1class")[0]
    assert one.path == "cells/visa/1cls/padim-paper/candle/sup-seed0.json"
    assert one.maps == "maps/visa/1cls/padim-paper/candle/sup-seed0.safetensors"
    assert one.images == "images/visa/1cls/crop224/candle.safetensors"
    assert one.features == "features/visa/1cls/crop224/candle/sup-seed0.safetensors"
    assert one.manifest == "manifests/visa/1cls.csv"
    assert one.job == "visa-1cls-padim-paper-candle-sup-seed0"
    assert one.backbone.path == "backbones/sup/seed0.safetensors"
    assert one.backbone.record == "records/backbones/sup-seed0.json"
    few = design.cells("twoclass_fewshot")[1]
    assert few.path == "cells/visa/2cls_fewshot/classifier-paper/candle/sup-seed0/5shot-draw1.json"
    assert few.job == "visa-2cls_fewshot-classifier-paper-candle-sup-seed0"


@pytest.mark.parametrize("preset", ["tiny", "demo"])
def test_a_jobs_wildcards_lead_to_its_cell(preset):
    """As Snakemake does it: the template is the pattern of a path, its groups are the wildcards."""
    design = of(preset, ONE_EACH)
    group = {"seed": r"\d+", "profile": r"[A-Za-z0-9_.]+", "setup": "1cls|2cls_highshot|2cls_fewshot"}
    for cell in design.cells():
        template = module.RUN if cell.two_class else module.CELL
        pattern = re.sub(
            r"\\{(\w+)\\}", lambda m: f"(?P<{m[1]}>{group.get(m[1], '[^/]+')})", re.escape(template)
        )
        wildcards = re.fullmatch(pattern.replace(r"\-", "-"), cell.path).groupdict()
        run = wildcards.pop("run", None)
        found = design.cell(**wildcards)
        assert (found.images, found.features, found.job, run) == (
            cell.images,
            cell.features,
            cell.job,
            cell.run,
        )


def test_backbones_are_those_of_the_tables_and_what_they_start_from():
    design = of("tiny", CONTINUED)
    asked = [Backbone("sup", 0), Backbone("later", 3), Backbone("later", 5)]
    assert sorted(design.evaluated) == sorted([*asked, Backbone("lite0_random", 0)])  # of the table `custom`
    # A seed starts from its own where the start has it, else from the start's first.
    starts = [Backbone("start", 5), Backbone("first", 0)]
    assert design.backbones == [*design.evaluated, *starts]
    assert design.start_of("later", 3) == design.start_of("later", 5) == [Backbone("start", 5)]
    assert design.trained == ["sup", "later", "start"]
    assert not design.trains("first")
    assert design.pretrainings == [n for n in design.experiment.pretrainings if n in dict(design.evaluated)]


def test_manifests_and_data_sets_that_are_read():
    design = of("demo")
    overview = design.experiment.dataset_overview.datasets
    setups = [(name, setup) for name in overview for setup in design.experiment.datasets[name].setups]
    corpus = design.experiment.corpus.dataset
    assert design.manifests[: len(setups)] == setups
    assert design.manifests[-1] == (corpus, "1cls")
    assert set(design.manifests) == {*setups, (corpus, "1cls")} | {
        (c.dataset, c.setup) for c in design.cells()
    }
    assert set(design.datasets) == {name for name, _ in design.manifests}
    assert design.generated(["visa", "elpv", "mvtec"]) == [
        "VisA-demo",
        "MVTec-demo",
    ]  # elpv: a wheel's photographs
    # Without a training nobody reads the corpus.
    rows = {name: {"rows": ["lite0_random"]} for name in design.experiment.tables}
    assert corpus not in of("demo", {"tables": rows}).datasets


def test_a_rows_network_and_term():
    experiment = of("paper").experiment
    for name, row in experiment.pretrainings.items():
        if row.source is None:
            assert experiment.architecture(name) == experiment.backbones[row.backbone].architecture
            assert experiment.stages(name) == experiment.backbones[row.backbone].stages
        else:
            assert experiment.stages(name) == row.source.stages
        assert experiment.term(name) == (None if row.spd == "none" else experiment.spd[row.spd])
    lite0 = load(CONFIG, {"preset": "demo"})
    assert lite0.architecture("lite0") == "timm:tf_efficientnet_lite0"  # the source knows, no key says it
