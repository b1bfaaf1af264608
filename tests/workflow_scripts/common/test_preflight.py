"""Each check of the preflight against something that is there, and something that is not."""

import http.server
import shutil
import threading

import pytest
import torch

from spd.data.options import ArchiveOptions, DatasetOptions
from workflow_scripts.common import preflight


@pytest.fixture
def server():
    """Address of a server that has /here and nothing else; what it was asked for."""
    asked = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Range")))
            self.send_response(206 if self.path == "/here" else 404)
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()


def archive(path, url):
    return ArchiveOptions(file=str(path), url=url, bytes=3, sha256="0" * 64)


def test_archives_must_be_whole_or_on_offer(tmp_path, server):
    address, asked = server
    (tmp_path / "whole").write_bytes(b"abc")
    (tmp_path / "half").write_bytes(b"a")
    found = preflight.archives(
        [
            archive(tmp_path / "whole", f"{address}/not-asked"),
            archive(tmp_path / "half", f"{address}/not-asked"),
            archive(tmp_path / "to-fetch", f"{address}/here"),
            archive(tmp_path / "moved", f"{address}/gone"),
            archive(tmp_path / "offline", "http://127.0.0.1:9/x"),
        ]
    )
    half, moved, offline = found
    assert "half: has 1 bytes, expected 3; move it away" in half
    assert "moved: not there" in moved and "/gone cannot be fetched from here (status 404)" in moved
    assert "offline: not there" in offline and "(ConnectionError)" in offline
    assert sorted(asked) == [("/gone", "bytes=0-0"), ("/here", "bytes=0-0")], "one byte, of what is absent"


def classes(**more):
    return DatasetOptions(name="ImageNet-1k", reader="class_folders", root="x", **more)


def test_folders_must_hold_what_their_reader_looks_for(tmp_path):
    visa = DatasetOptions(name="VisA", reader="visa", root="x", objects=["candle", "pcb1"])
    listed = DatasetOptions(name="Mine", reader="split_csv", root="x", csv={"1cls": "split.csv"})

    def check(entry):
        return preflight.folders({"mine": entry}, {"mine": tmp_path / "data"})

    assert check(classes(licence="terms"))[0].endswith(
        "data is not there; put or link ImageNet-1k (terms) there, as train/<class>/<image>"
    )
    (tmp_path / "data").write_bytes(b"")
    assert "is a file, not a folder" in check(classes())[0]
    (tmp_path / "data").unlink()
    (tmp_path / "data/train/n01440764").mkdir(parents=True)
    assert "data/train holds no class folder with images" in check(classes())[0]
    (tmp_path / "data/train/n01440764/a.JPEG").touch()
    assert check(classes()) == []
    (tmp_path / "data/candle").mkdir()
    assert check(visa) == [f"datasets.mine.root: {tmp_path / 'data'} has no folder pcb1"]
    (tmp_path / "data/pcb1").mkdir()
    assert check(visa) == []
    assert check(listed) == [f"datasets.mine.root: {tmp_path / 'data/split.csv'} is not there"]
    (tmp_path / "data/split.csv").touch()
    assert check(listed) == []


def test_files_that_only_the_user_can_give_are_named_by_their_key(tmp_path):
    (tmp_path / "here.pth").touch()
    keys = {
        str(tmp_path / f"{name}.pth"): f"pretrainings.{name}.source.checkpoint" for name in ("here", "gone")
    }
    (line,) = preflight.given(keys)
    assert line.startswith(f"pretrainings.gone.source.checkpoint: {tmp_path}/gone.pth is not there")


def test_an_archive_that_went_after_its_hash_was_checked_is_named(tmp_path):
    (tmp_path / "here.tar").touch()
    (line,) = preflight.fetched([str(tmp_path / "here.tar"), str(tmp_path / "gone.tar")])
    assert f"delete {tmp_path}/gone.tar.verified to fetch it again" in line


def test_networks_that_only_timm_or_torchvision_knows_are_looked_up_without_torch_here():
    asked = [
        ("a", "timm:vit_tiny_patch16_224", ["blocks.1", "blok"], False),
        ("b", "timm:vit_tini", ["blocks.1"], False),
        ("c", "torchvision:regnet_x_400mf", ["trunk_output.block1"], False),
        ("d", "torchvision:regnet_x_400mf", ["trunk_output.block1"], True),
    ]
    stage, name, trained = preflight.networks(asked)
    assert stage.startswith("a: no stage blok; timm:vit_tiny_patch16_224 has blocks.0, blocks.1")
    assert name.startswith("b: unknown architecture 'timm:vit_tini'; did you mean 'timm:")
    assert trained.startswith("d: torchvision's RegNet cannot be pre-trained here")
    assert preflight.networks([]) == []


def test_room_is_that_of_the_nearest_folder_that_exists(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    below = tmp_path / "results/not/yet"
    assert preflight.room(free // 2, below) == []
    (line,) = preflight.room(2 * free, below)
    assert f"at least {2 * free / 2**30:,.0f} GiB will be written below {tmp_path.resolve()}" in line


def test_cuda_is_what_torch_says_without_importing_it():
    assert preflight.cuda_of_torch() == torch.version.cuda


def test_gpu_jobs_need_a_cuda_build_and_perhaps_faiss_for_gpus(monkeypatch):
    monkeypatch.setattr(preflight, "cuda_of_torch", lambda: None)
    monkeypatch.setattr(preflight, "installed", lambda: ["faiss-cpu"])
    torch_line, faiss_line = preflight.gpu_build(faiss=True)
    assert "built without CUDA" in torch_line and "pip install -e '.[gpu]'" in faiss_line
    monkeypatch.setattr(preflight, "cuda_of_torch", lambda: "13.0")
    assert preflight.gpu_build(faiss=False) == []
    monkeypatch.setattr(preflight, "installed", lambda: ["faiss-gpu"])
    assert preflight.gpu_build(faiss=True) == []


@pytest.fixture
def sbatch(tmp_path):
    """`sbatch(script)` writes an sbatch and a sinfo; its path."""

    def write(script):
        for name, body in {"sbatch": script, "sinfo": "echo 'cpu: 4 CPUs'; echo 'cpu: 4 CPUs'"}.items():
            (tmp_path / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
            (tmp_path / name).chmod(0o755)
        return str(tmp_path / "sbatch")

    return write


def test_slurm_is_asked_once_for_each_submission_and_submits_nothing(sbatch, tmp_path):
    refusal = (
        "case $* in *gpux*) echo hm >&2; echo 'allocation failure: Invalid partition' >&2; exit 1;; esac"
    )
    asked = {" -p cpu -A 'my lab'": ["detect", "images"], " -p gpux": ["pretrain"]}
    assert preflight.slurm(asked, sbatch(refusal)) == [
        "pretrain: Invalid partition (-p gpux)",
        "the cluster has: cpu: 4 CPUs; edit the marked block of slurm/config.yaml",
    ]
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("sbatch")]
    assert sorted(calls) == [
        "sbatch --test-only -p cpu -A my lab --wrap=true",
        "sbatch --test-only -p gpux --wrap=true",
    ]


@pytest.mark.parametrize("answer", preflight.WAITS)
def test_what_time_mends_is_no_obstacle(sbatch, answer):
    assert preflight.slurm({"-p cpu": ["detect"]}, sbatch(f"echo 'x: {answer} (y)' >&2; exit 1")) == []


def test_without_sbatch_there_is_no_cluster():
    assert preflight.slurm({"-p cpu": ["detect"]}, None) == [
        "sbatch: not found; start the run on a login node of the cluster"
    ]


def test_message_numbers_everything_and_names_the_way_out():
    text = preflight.message(["one", "two"])
    assert text.splitlines()[:3] == [
        "Nothing was started: 2 things missing or wrong.",
        "  1. one",
        "  2. two",
    ]
    assert "SPD_PREFLIGHT=no" in text


def test_a_folder_in_which_nothing_can_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    assert preflight.read_only(tmp_path / "new" / "unpacked") is None
    assert preflight.read_only(tmp_path / "file" / "unpacked") == tmp_path / "file"
    monkeypatch.setattr(
        preflight.os, "access", lambda path, mode: path != tmp_path
    )  # as on a read-only share
    assert preflight.read_only(tmp_path / "unpacked") == tmp_path
