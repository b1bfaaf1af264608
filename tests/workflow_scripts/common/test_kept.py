import json
import os
from pathlib import Path

import pytest

from spd.config.model import load
from workflow_scripts.common import kept, locks
from workflow_scripts.common.backbone_hash import backbone_hash
from workflow_scripts.common.verify import hash_list, verify, write_hashes

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
RESULTS = Path("results/tiny")
LEAVE = {"compute": {"stale_code": "warn"}}  # code does not count: the hashes are the config's alone


def current(name):
    """Folder of a row in force."""
    made = backbone_hash(
        load(CONFIG, {"preset": "tiny", **LEAVE}), name, 0, images=lambda _: "None", code=lambda *_: "any"
    )
    return RESULTS / "backbones" / name / made


def trained(folder, eta=0.1, steps=4):
    """A backbone as its job leaves it."""
    folder.mkdir(parents=True)
    (folder / "seed0.safetensors").write_bytes(b"w" * 1_000_000)
    (folder / "seed0.history.jsonl").write_text(f'{{"step": 1}}\n{{"step": {steps}}}\n')
    (folder / "seed0.json").write_text(json.dumps({"params": {"method": "simsiam", "eta": eta}}))
    log = RESULTS / f"logs/pretrain/{folder.parent.name}-seed0-{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    write_hashes(hash_list(log), rule="pretrain", outputs=map(str, folder.iterdir()), inputs=[])


def half(folder):
    """One that was stopped."""
    folder.mkdir(parents=True)
    (folder / "seed0.checkpoint").write_bytes(b"c" * 2_000_000)
    (folder / "seed0.checkpoint.history.jsonl").write_text('{"step": 2, "loss": 0}\n')
    (folder / "seed0.checkpoint.json").write_text(json.dumps({"method": "simsiam", "eta": 0.25}))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`run(*arguments)`: (status, a line for each backbone by its folder, everything that was said)."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(json.dumps(LEAVE))

    def command(*arguments):
        given = ["--config", str(CONFIG), "--configfile", "mine.yaml", "--preset", "tiny", *arguments]
        status = kept.main(given)
        out, error = capsys.readouterr()
        lines = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if "/seed" in line}
        return status, lines, out + error

    return command


def test_sizes_what_made_them_and_what_uses_each_are_listed(run):
    trained(current("simsiam_spd"))
    trained(RESULTS / "backbones/simsiam_spd/aaaaaaaaaaaa", eta=0.5, steps=12)
    half(current("moco"))
    half(RESULTS / "backbones/moco/bbbbbbbbbbbb")
    os.utime(RESULTS / "backbones/moco/bbbbbbbbbbbb", (0, 0))
    status, lines, said = run()
    assert status == 0
    name = f"simsiam_spd/{current('simsiam_spd').name}/seed0"
    assert lines[name] == "simsiam, eta 0.1, 4 steps 1.0 today row simsiam_spd (padim_1class)"
    assert lines["simsiam_spd/aaaaaaaaaaaa/seed0"] == "simsiam, eta 0.5, 12 steps 1.0 today nothing"
    moco = f"moco/{current('moco').name}/seed0"
    assert lines[moco] == "half trained: simsiam, eta 0.25, 2 steps 2.0 today row moco (in no table)"
    assert lines["moco/bbbbbbbbbbbb/seed0"].endswith("days ago nothing")
    assert "2 of 4 used by nothing, 3.0 MB; --delete deletes them" in said
    assert (RESULTS / "backbones/moco/bbbbbbbbbbbb/seed0.checkpoint").exists()


def test_a_row_that_names_a_kept_file_uses_it(run):
    for folder in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "earlier1"):
        trained(RESULTS / "backbones/simsiam_spd" / folder)
    (RESULTS / "backbones/moco").mkdir()
    link = RESULTS / "backbones/moco/seed0.safetensors"
    link.symlink_to("../simsiam_spd/bbbbbbbbbbbb/seed0.safetensors")
    rows = {
        "mine": {
            "label": "Mine",
            "source": {"checkpoint": str(RESULTS / "backbones/simsiam_spd/earlier1/seed0.safetensors")},
        },
        "linked": {"label": "Linked", "source": {"checkpoint": str(link.absolute())}},
    }
    Path("mine.yaml").write_text(json.dumps({**LEAVE, "pretrainings": rows}))
    status, lines, said = run("--delete")
    assert status == 0 and "1 of 3 used by nothing" in said
    assert lines["simsiam_spd/earlier1/seed0"].endswith("row mine (in no table)")
    assert "row linked (in no table)" in lines["simsiam_spd/bbbbbbbbbbbb/seed0"]
    left = {path.name for path in (RESULTS / "backbones/simsiam_spd").iterdir()}
    assert left == {"bbbbbbbbbbbb", "earlier1"}


def test_what_nothing_uses_is_deleted_with_its_jobs_traces_when_told_to(run):
    mine, others = current("simsiam_spd"), RESULTS / "backbones/simsiam_spd/aaaaaaaaaaaa"
    trained(mine)
    trained(others)
    half(RESULTS / "backbones/moco/bbbbbbbbbbbb")
    half(current("moco"))
    status, _, said = run("--delete")
    assert status == 0 and "deleted" in said
    assert not others.exists() and not Path("results/tiny/backbones/moco/bbbbbbbbbbbb").exists()
    assert (mine / "seed0.safetensors").exists() and (current("moco") / "seed0.checkpoint").exists()
    assert verify(RESULTS)[0] == [], "no list speaks of the deleted one"
    assert run("--delete")[0] == 0


def test_what_is_linked_or_started_from_is_used(run):
    linked, start = RESULTS / "backbones/simsiam/aaaaaaaaaaaa", current("simsiam_spd")
    trained(linked)
    trained(start)
    Path(RESULTS / "backbones/simsiam/seed0.safetensors").symlink_to("aaaaaaaaaaaa/seed0.safetensors")
    row = {"label": "C", "recipe": "simsiam", "backbone": "resnet50", "init": "simsiam_spd"}
    Path("mine.yaml").write_text(json.dumps({**LEAVE, "pretrainings": {"more": row}}))
    _, lines, _ = run("--delete")
    assert lines["simsiam/aaaaaaaaaaaa/seed0"].endswith("the last run, as simsiam")
    assert lines[f"simsiam_spd/{start.name}/seed0"].endswith("(padim_1class); init of more")
    assert linked.exists() and start.exists()


def test_nothing_is_deleted_under_a_run_or_after_a_killed_one(run):
    others = RESULTS / "backbones/simsiam/aaaaaaaaaaaa"
    trained(others)
    with locks.acquire(".snakemake/spd/tiny.run", preset="tiny"):
        status, _, said = run("--delete")
    assert status == 2 and "is making it" in said and others.exists()
    Path(".snakemake/locks").mkdir()
    Path(".snakemake/locks/0.output.lock").touch()
    status, _, said = run("--delete")
    assert status == 2 and "its jobs may live" in said and others.exists()


def test_a_wrong_config_deletes_nothing(run):
    others = RESULTS / "backbones/simsiam/aaaaaaaaaaaa"
    trained(others)
    Path("mine.yaml").write_text("pretrainings: {simsiam: {spd: nome}}")
    status, _, said = run("--delete")
    assert status == 2 and "pretrainings.simsiam.spd" in said and others.exists()


def test_nothing_there_and_help(run, capsys):
    assert "nothing was trained here" in run()[2]
    with pytest.raises(SystemExit):
        kept.main(["--help"])
    assert "--delete" in capsys.readouterr().out


def test_files_under_a_rows_own_name_are_moved_and_never_onto_others(run):
    row, record = RESULTS / "backbones/simsiam", RESULTS / "records/backbones/simsiam-seed0.json"
    record.parent.mkdir(parents=True)
    row.mkdir(parents=True)
    for number, text in enumerate((b"one", b"two"), 1):
        (row / "seed0.safetensors").write_bytes(text)
        (row / "seed0.checkpoint").write_bytes(text)
        record.write_text("{}")
        log = RESULTS / "logs/pretrain/simsiam-seed0.log"
        write_hashes(
            hash_list(log), rule="pretrain", outputs=[str(row / "seed0.safetensors"), str(record)], inputs=[]
        )
        assert f"earlier{number}/" in kept.set_aside(RESULTS, "simsiam", 0)
        assert verify(RESULTS)[0] == []
    assert [(row / f"earlier{n}/seed0.safetensors").read_bytes() for n in (1, 2)] == [b"one", b"two"]
    assert (row / "earlier2/seed0.checkpoint").read_bytes() == b"two"
    assert (row / "earlier2/seed0.json").exists() and not record.exists()
    (row / "seed0.safetensors").symlink_to("earlier1/seed0.safetensors")
    assert kept.set_aside(RESULTS, "simsiam", 0) is None
    assert run()[1]["simsiam/earlier2/seed0"].endswith("today nothing")
