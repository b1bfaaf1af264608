from pathlib import Path

import pytest

from spd.config.design import Design
from spd.config.model import load
from workflow_scripts.common.external_files import ExternalFiles
from workflow_scripts.common.run_order import attachments, records

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
TWO_CLASS = {
    "title": "2-class",
    "setup": "2cls_fewshot",
    "datasets": ["visa"],
    "profiles": ["demo"],
    "rows": ["simsiam"],
}
TINY = """\
data/demo/tiny/visa.tar.json
data/demo/tiny/unpacked/visa.json
data/demo/tiny/mvtec.tar.xz.json
data/demo/tiny/unpacked/mvtec.json
data/demo/tiny/classes.tar.json
data/demo/tiny/unpacked/imagenet.json
examined/visa.json
examined/mvtec.json
examined/imagenet.json
manifests/visa-1cls.json
manifests/visa-2cls_highshot.json
manifests/visa-2cls_fewshot.json
manifests/mvtec-1cls.json
manifests/imagenet-1cls.json
draws/visa.json
corpus.json
views.json
backbones/simsiam-seed0.json
backbones/simsiam-seed4.json
backbones/lite0_random-seed0.json
images/visa-1cls-demo128-all.json
features/visa-1cls-demo128-all-simsiam-seed0.json
cells/visa/1cls/padim-demo/all/simsiam-seed0.json
images/mvtec-1cls-demo128-all.json
features/mvtec-1cls-demo128-all-simsiam-seed0.json
cells/mvtec/1cls/padim-demo/all/simsiam-seed0.json
features/visa-1cls-demo128-all-simsiam-seed4.json
cells/visa/1cls/padim-demo/all/simsiam-seed4.json
features/mvtec-1cls-demo128-all-simsiam-seed4.json
cells/mvtec/1cls/padim-demo/all/simsiam-seed4.json
features/mvtec-1cls-demo128-all-lite0_random-seed0.json
cells/mvtec/1cls/padim-demo/all/lite0_random-seed0.json
images/visa-2cls_fewshot-demo64-all.json
cells/visa/2cls_fewshot/classifier-demo/all/simsiam-seed0/RUN.json
cells/visa/2cls_fewshot/unet-demo/all/simsiam-seed0/RUN.json
cells/visa/2cls_fewshot/classifier-demo/all/simsiam-seed4/RUN.json
cells/visa/2cls_fewshot/unet-demo/all/simsiam-seed4/RUN.json
tables/dataset_overview.json
tables/padim_1class.json
tables/custom.json
tables/twoclass.json
tables/claims.json
qualitative.json
site.json
""".splitlines()


RUNS = [f"{shots}shot-draw{draw}" for shots in (1, 2) for draw in range(2)]


def expected(folder):
    """TINY's records below the results; cells are their own, and each run of a 2-class job is one."""
    for name in TINY:
        inside = folder if name.startswith("cells/") else f"{folder}/records"
        for run in RUNS if "RUN" in name else [""]:
            yield str(Path("" if name.startswith("data/") else inside, name.replace("RUN", run)))


@pytest.fixture(scope="module")
def design():
    """Preset tiny with a second seed, and with a 2-class table."""
    return Design(
        load(
            CONFIG,
            {
                "preset": "tiny",
                "pretrainings": {"simsiam": {"seeds": [0, 4]}},
                "tables": {"padim_1class": {"rows": ["simsiam"]}, "twoclass": TWO_CLASS},
            },
        )
    )


def test_records_come_in_the_order_in_which_runs_appear(design):
    listed = records(design, ExternalFiles(design), "results/tiny")
    assert listed == list(expected("results/tiny"))


def test_downloads_leave_a_record_and_files_of_the_users_own_none(tmp_path):
    design = Design(
        load(
            CONFIG,
            {
                "preset": "tiny",
                "datasets": {"mvtec": {"archive": None, "root": str(tmp_path)}},
                "tables": {"padim_1class": {"rows": ["lite0_random", "tv"], "datasets": ["mvtec"]}},
                "weights": {
                    "tv": {"file": "w/tv.pth", "url": "https://example.org/tv.pth", "sha256": "0" * 64},
                },
                "pretrainings": {
                    "tv": {"label": "tv", "source": {"source": "torchvision", "checkpoint": "w/tv.pth"}},
                },
            },
        )
    )
    listed = records(design, ExternalFiles(design), "out")
    assert [path for path in listed if not path.startswith("out/")] == [
        "data/demo/tiny/visa.tar.json",  # the overview's
        "data/demo/tiny/unpacked/visa.json",
        "w/tv.pth.verified",
    ]
    assert "out/records/corpus.json" not in listed  # nothing is trained
    assert listed.index("out/records/backbones/tv-seed0.json") == listed.index("w/tv.pth.verified") + 1


def test_a_run_shows_its_cost_its_tables_and_its_pictures(design):
    of = attachments(design, "results/tiny", lambda name, seed: f"pretrain/{name}-{seed}")
    backbone = of["results/tiny/records/backbones/simsiam-seed4.json"]
    assert backbone == {
        "benchmark": "results/tiny/benchmarks/pretrain/simsiam-4.tsv",
        "job": "results/tiny/logs/pretrain/simsiam-4.slurm",
        "gpus": 0,
        "backbone": "results/tiny/backbones/simsiam/seed4.safetensors",
        "views": "results/tiny/views/simsiam.png",
    }
    imported = of["results/tiny/records/backbones/lite0_random-seed0.json"]
    assert imported["benchmark"] == "results/tiny/benchmarks/import_backbone/lite0_random-seed0.tsv"
    assert (imported["views"], imported["gpus"]) == (None, 0)
    stem = "mvtec-1cls-padim-demo-all"
    at = "results/tiny/cells/mvtec/1cls/padim-demo/all"
    first = of[f"{at}/simsiam-seed0.json"]
    assert first["benchmark"] == f"results/tiny/benchmarks/detect/{stem}-simsiam-seed0.tsv"
    assert first["tables"] == ["padim_1class"]
    assert first["heat_maps"] == [["MVTec-demo", "1cls", "PaDiM", "demo"], "simsiam"]
    assert "heat_maps" not in of[f"{at}/simsiam-seed4.json"]  # first seeds only
    few = of["results/tiny/cells/visa/2cls_fewshot/unet-demo/all/simsiam-seed0/1shot-draw0.json"]
    assert few["tables"] == ["twoclass"] and "heat_maps" not in few
    assert few["job"].endswith("logs/finetune/visa-2cls_fewshot-unet-demo-all-simsiam-seed0.slurm")
    # Each backbone, each feature file, and the first cell of each job; no other.
    kinds = ("/backbones/", "/features/", "/cells/")
    listed = [path for path in expected("results/tiny") if any(kind in path for kind in kinds)]
    assert set(of) == {path for path in listed if not path.endswith(tuple(f"{run}.json" for run in RUNS[1:]))}
