"""Downloads and weights put there by hand: what has the right hash outlives moved links and failed jobs."""

import functools
import hashlib
import http.server
import tarfile
import threading

import pytest

pytestmark = pytest.mark.workflow

STAMP = "data/archives/nuts.tar.verified"
ARCHIVE = "data/archives/nuts.tar"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(workspace, write_photographs):
    """(address, SHA-256, size) of an archive in MVTec-AD's layout on a server of our own."""
    folder = workspace.folder / "elsewhere"
    write_photographs(folder / "photographs")
    with tarfile.open(folder / "nuts.tar", "w") as tar:
        tar.add(folder / "photographs/nut", "nut")
    content = (folder / "nuts.tar").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/nuts.tar", hashlib.sha256(content).hexdigest(), len(content)
    server.shutdown()


@pytest.fixture
def with_archive(overlay):
    """`with_archive(url, sha256, size)`: a config that judges the archive in `custom`; more are its keys."""

    def config(url, sha256, size, **more):
        archive = {"file": ARCHIVE, "url": url, "sha256": sha256, "bytes": size, **more}
        entry = {"name": "Nuts", "reader": "mvtec", "archive": archive, "objects": ["nut"]}
        return overlay(datasets__mine=entry)

    return config


def test_a_download_outlives_moved_links_other_hashes_and_failures(workspace, served, with_archive):
    url, sha256, size = served
    manifest = "results/tiny/manifests/mine/1cls.csv"
    done = workspace.snakemake(manifest, config=with_archive(url, sha256, size))
    assert done.returncode == 0, done.stderr
    archive = workspace.folder / ARCHIVE
    content = archive.read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256
    log = (workspace.folder / "results/tiny/logs/download/data/archives/nuts.tar.log").read_text()
    assert "100%" in log and "nuts.tar" in log

    # the link moves: nothing to do
    gone = url.replace("nuts.tar", "gone.tar")
    assert workspace.planned(manifest, config=with_archive(gone, sha256, size)) == {}

    # another hash in the config: the job fails, and the file stays
    wrong = with_archive(gone, "0" * 64, size)
    done = workspace.snakemake(manifest, config=wrong)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"its SHA-256 is {sha256}, expected {'0' * 64}; move it away to have it fetched" in output
    assert "results/tiny/logs/download/data/archives/nuts.tar.log" in output
    assert archive.read_bytes() == content
    assert not (workspace.folder / STAMP).exists()

    # the old hash again: the file is taken as it is, though its link is dead
    done = workspace.snakemake(manifest, config=with_archive(gone, sha256, size))
    assert done.returncode == 0, done.stderr
    assert archive.read_bytes() == content

    # asked to fetch again what is there: the same
    done = workspace.snakemake(STAMP, "--forcerun", "download", config=with_archive(gone, sha256, size))
    assert done.returncode == 0, done.stderr
    assert archive.read_bytes() == content

    # where nothing can be made beside it: the key is named before any job, and another folder will do
    nowhere = with_archive(gone, sha256, size, unpack_to=f"{ARCHIVE}/unpacked")
    done = workspace.snakemake(manifest, config=nowhere)
    assert done.returncode != 0 and "nuts.tar cannot be written to; name" in done.stdout + done.stderr
    assert "datasets.mine.archive.unpack_to" in done.stdout + done.stderr
    done = workspace.snakemake(manifest, config=with_archive(gone, sha256, size, unpack_to="roomy"))
    assert done.returncode == 0, done.stderr
    assert (workspace.folder / "roomy/mine/.unpacked.json").exists()


def test_an_archive_deleted_after_its_stamp_says_how_to_fetch_it_again(workspace, served, with_archive):
    url, sha256, size = served
    config = with_archive(url, sha256, size)
    assert workspace.snakemake(STAMP, config=config).returncode == 0
    (workspace.folder / ARCHIVE).unlink()
    done = workspace.snakemake("data/archives/unpacked/mine.json", config=config)
    assert done.returncode != 0
    assert f"delete {STAMP} to fetch it again" in done.stdout + done.stderr


def test_weights_put_there_by_hand_are_checked_by_their_hash(workspace, overlay):
    import torch

    from spd.backbones.architectures import build

    file = workspace.folder / "weights/mine.pth"
    file.parent.mkdir()
    torch.save(build("resnet10_w16").state_dict(), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    source = {"source": "torchvision", "architecture": "resnet10_w16", "checkpoint": "$WEIGHTS/mine.pth"}
    where = {"WEIGHTS": "weights"}  # the same file, written otherwise
    backbone = "results/tiny/backbones/mine/seed0.safetensors"

    def config(expected):
        return overlay(
            weights={"mine": {"file": "weights/mine.pth", "sha256": expected}},
            pretrainings={"mine": {"label": "Mine", "source": source}},
        )

    done = workspace.snakemake(backbone, config=config("0" * 64), environment=where)
    assert done.returncode != 0
    assert f"weights/mine.pth: its SHA-256 is {sha256}, expected {'0' * 64}" in done.stdout + done.stderr
    assert not (workspace.folder / backbone).exists() and file.exists()
    done = workspace.snakemake(backbone, config=config(sha256), environment=where)
    assert done.returncode == 0, done.stderr
    assert (workspace.folder / backbone).exists()
