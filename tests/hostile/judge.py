"""Reads one hostile file as the workflow would, in a process with limits, and says what became of it.

`judge` forks: the child may use 3 GiB more than its parent and 20 s of a processor, may not start a process,
open a connection or write outside its folder (an audit hook notes each attempt), and tells its outcome
through a pipe.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from inputs import CONFIG, CSV, _encode, pixels
from PIL import Image

MEMORY = 3 << 30  # bytes more than the parent
CPU_SECONDS = 20
SECONDS = 300  # by the clock, for a busy machine; the bound is on processor time
_ACTS = {
    *("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "webbrowser.open"),
}
REPOSITORY = Path(__file__).resolve().parents[2]


class Verdict(NamedTuple):
    outcome: str
    """refused, read, or what is wrong: silent, crash, hung, memory, acted, message."""
    text: str
    seconds: float
    megabytes: float
    """Most memory beyond the parent's."""

    @property
    def sound(self) -> bool:
        return self.outcome in ("refused", "read")


def judge(kind: str, name: str, content: bytes, folder: Path, original: bytes | None = None) -> Verdict:
    """original: what a mutant was made from, where its reader promises to notice any change."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        report = {"outcome": "crash", "text": "ended without a word"}
        base = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the peak, begins anew
        try:
            report = _inside(kind, name, content, folder, original)
        except BaseException as error:
            report = {"outcome": "crash", "text": f"{type(error).__name__}: {error}"[:500]}
        finally:
            with contextlib.suppress(BaseException):
                report["megabytes"] = (_status("VmHWM") - base) / 1024
                os.write(into, json.dumps(report).encode()[:60_000])
            os._exit(0)
    os.close(into)
    text = b""
    while select.select([out], [], [], max(0, began + SECONDS - time.monotonic()))[0]:
        chunk = os.read(out, 65536)
        if not chunk:
            break
        text += chunk
    else:
        os.kill(child, signal.SIGKILL)
    os.close(out)
    status = os.waitpid(child, 0)[1]
    seconds = time.monotonic() - began
    if not text:
        outcome = "hung" if seconds >= SECONDS or os.WTERMSIG(status) == signal.SIGXCPU else "crash"
        return Verdict(outcome, f"ended by signal {os.WTERMSIG(status)}", seconds, 0)
    report = json.loads(text)
    return Verdict(report["outcome"], report["text"], seconds, report.get("megabytes", 0))


def _inside(kind: str, name: str, content: bytes, folder: Path, original: bytes | None) -> dict:
    acted: list[str] = []
    sys.addaudithook(lambda event, arguments: _note(event, arguments, folder, acted))
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    _limit()
    try:
        READERS[kind](name, content, folder, original)
        report = {"outcome": "read", "text": ""}
    except AssertionError as error:
        report = {"outcome": "silent", "text": str(error) or "not well formed"}
    except RecursionError as error:
        report = {"outcome": "crash", "text": f"RecursionError: {error}"}
    except MemoryError as error:
        report = {"outcome": "memory", "text": str(error)}
    except (ValueError, OSError) as error:
        report = {"outcome": "refused", "text": str(error)}
        if not _clear(kind, str(error), name):
            report["outcome"] = "message"
    except BaseException as error:
        report = {"outcome": "crash", "text": f"{type(error).__name__}: {error}"[:500]}
    if acted:
        report = {"outcome": "acted", "text": "; ".join(acted[:3])}
    return report


def _status(key: str) -> int:
    """A line of /proc/self/status in KiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def _limit() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    spent = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, spent + CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _note(event: str, arguments: tuple, folder: Path, acted: list[str]) -> None:
    if event in _ACTS:
        acted.append(f"{event} {arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path, mode, flags = os.fsdecode(arguments[0]), arguments[1], arguments[2]
        writes = (isinstance(mode, str) and set(mode) & set("wxa+")) or flags & (os.O_WRONLY | os.O_RDWR)
        inside = os.path.abspath(path).startswith(str(folder))  # noqa: PTH100
        if writes and not inside and not path.startswith(("/dev/", "/proc/")):
            acted.append(f"writes {path}")


def _clear(kind: str, message: str, name: str) -> bool:
    """One line that names the file; the report on a data set's files has one such line a finding."""
    if kind == "config":  # names the key, or the file where it is not YAML; one line a problem
        return all(line.startswith("config: ") for line in message.splitlines())
    lines = message.splitlines()
    if len(lines) > 1:  # a heading, a line a finding, and the ways out
        findings = [line for line in lines[1:] if line.startswith("  ")]
        ways = lines[1 + len(findings) :]
        file = "000_mask.png" if kind == "mask" else name
        named = kind not in ("image", "mask") or any(file in line for line in findings)
        return lines[0].endswith(("problem:", "problems:")) and bool(findings) and len(ways) <= 2 and named
    return len(lines) == 1 and name in message and message.isprintable() and len(message) < 2000


# --- the readers ---------------------------------------------------------------------------------------


def _archive(name, content, folder, original):
    from spd.data.archive import unpack

    path, target = folder / name, folder / "unpacked/data"
    path.write_bytes(content)
    before = {p.name for p in folder.iterdir()} | {"unpacked", f".{name}.sha256.json"}
    try:
        inventory = unpack(path, target, max_files=200, max_bytes=4 << 20)
    except ValueError:
        assert not target.exists(), "something was unpacked"
        assert not list((folder / "unpacked").glob("*")) if (folder / "unpacked").exists() else True
        assert {p.name for p in folder.iterdir()} <= before, "a file lies outside the target"
        raise
    files = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    files.pop(".unpacked.json")
    assert len(files) <= inventory["files"]
    assert not any(p.is_symlink() for p in target.rglob("*")), "a link was made"
    assert {p.name for p in folder.iterdir()} <= before, "a file lies outside the target"
    # gz, bz2, xz and zip carry checksums: what is read must be what was packed.
    if original is not None and not name.endswith(".tar"):
        from inputs import _members

        for member, sound in _members().items():
            assert files.get(member, sound) == sound, f"{member} was changed and nobody noticed"


def _dataset(folder: Path, image: tuple[str, bytes] | None, mask: bytes | None):
    """A data set in MVTec-AD's layout with the hostile file in it."""
    good = folder / "data/nut/train/good"
    for place in (good, folder / "data/nut/test/spot", folder / "data/nut/ground_truth/spot"):
        place.mkdir(parents=True)
    (good / "000.png").write_bytes(_encode("PNG", Image.fromarray(255 - pixels())))
    spot = folder / "data/nut/test/spot/000.png"
    spot.write_bytes(_encode("PNG", Image.fromarray(pixels()[::-1])))
    if image is not None:
        (good / image[0]).write_bytes(image[1])
    if mask is not None:
        (folder / "data/nut/ground_truth/spot/000_mask.png").write_bytes(mask)
    return folder / "data"


def _through_the_cache(root: Path, folder: Path):
    from spd.data.cache import ImageCache, write_cache
    from spd.data.checks import check
    from spd.data.corpus import open_packed, pack
    from spd.data.geometry_options import GeometryOptions
    from spd.data.readers.registry import read_dataset

    manifest = read_dataset("mvtec", root, "1cls")
    path = folder / "cache.safetensors"
    refusals = []
    for stage in (
        lambda: check(manifest, workers=1, progress=False).require_sound("nut"),
        lambda: write_cache(manifest, None, GeometryOptions(resize=16), path, progress=False),
        lambda: pack(manifest, 16, folder / "corpus.safetensors", workers=1),
    ):
        try:
            stage()
        except ValueError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    cache = ImageCache(path)
    images = cache.images("nut")
    assert images.dtype == np.uint8
    assert images.shape[1:] == (3, 16, 16)
    assert len(images) == len(manifest)
    corpus = open_packed(folder / "corpus.safetensors", manifest)
    assert corpus.images.shape[1:] == (3, 16, 16)
    return cache


def _image(name, content, folder, original):
    cache = _through_the_cache(_dataset(folder, (name, content), None), folder)
    if _one_byte_of_png(content, original):
        same = _through_the_cache(_dataset(folder / "sound", (name, original), None), folder / "sound")
        assert np.array_equal(cache.images("nut"), same.images("nut")), "a wrong byte went unnoticed"


def _mask(name, content, folder, original):
    cache = _through_the_cache(_dataset(folder, None, content), folder)
    masks = cache.masks("nut")
    assert masks is not None
    assert set(np.unique(masks)) == {0, 1}
    if _one_byte_of_png(content, original):
        same = _through_the_cache(_dataset(folder / "sound", None, original), folder / "sound")
        assert np.array_equal(masks, same.masks("nut")), "a wrong byte went unnoticed"


def _one_byte_of_png(content, original):
    """Whether a single byte of a PNG was changed: its checksums tell."""
    return content[:4] == b"\x89PNG" and _one_byte(content, original)


def _one_byte(content, original):
    return (
        original is not None
        and len(content) == len(original)
        and sum(a != b for a, b in zip(content, original, strict=True)) == 1
    )


def _csv(name, content, folder, original):
    from spd.data import manifest
    from spd.data.readers import split_csv, visa

    (folder / name).write_bytes(content)
    (folder / "split_csv").mkdir()
    (folder / "split_csv/1cls.csv").write_bytes(content)
    (folder / "nut").mkdir()
    made = split_csv.read(folder, csv=name)
    for row in made:
        assert made.image_path(row).resolve().is_relative_to(folder.resolve()), "a path leads outside"
        assert row.split in ("train", "test")
        assert row.label in ("normal", "anomaly")
    manifest.write(made, folder / "manifest.csv")
    again = manifest.read(folder / "manifest.csv")
    assert again.split_hash == made.split_hash, "the manifest does not survive being written and read"
    visa.read(folder)


def _annotations(name, content, folder, original):
    """The second CSV of VisA's layout."""
    from spd.data.readers import visa

    (folder / "split_csv").mkdir()
    (folder / "split_csv/1cls.csv").write_text(CSV)
    (folder / "nut").mkdir()
    (folder / "nut/image_anno.csv").write_bytes(content)
    made = visa.read(folder)
    rows = [(row.split, row.label, row.image) for row in made]
    wanted = [tuple(line.split(",")[1:4]) for line in CSV.splitlines()[1:]]
    assert sorted(rows) == sorted(wanted), "rows of the other file were changed"


def _manifest(name, content, folder, original):
    """A manifest or its sidecar, changed after it was written."""
    from spd.data import manifest
    from spd.data.readers import split_csv

    (folder / "sound.csv").write_text(CSV)
    manifest.write(split_csv.read(folder, csv="sound.csv"), folder / "manifest.csv")
    (folder / name).write_bytes(content)
    made = manifest.read(folder / "manifest.csv")
    sound = (folder / "manifest.csv").read_text().replace("\r\n", "\n")
    assert made.csv() == sound, "rows were read that the file does not hold"


def _config(name, content, folder, original):
    from spd.config.model import load, read_yaml

    path = folder / name
    path.write_bytes(content)
    overrides = read_yaml(path)
    experiment = load(REPOSITORY / "config.yaml", overrides=overrides)
    text = experiment.model_dump_json()
    assert len(text) < 1 << 20, "it is not bounded"


def _backbone(name, content, folder, original):
    import torch
    from inputs import ARCHITECTURE

    from spd.backbones.files import load
    from spd.backbones.imports import import_backbone
    from spd.backbones.options import BackboneOptions

    path = folder / name
    path.write_bytes(content)
    if path.suffix == ".safetensors":
        load(path)
        options = BackboneOptions(source="file", checkpoint=str(path))
    else:
        options = BackboneOptions(source="torchvision", architecture=ARCHITECTURE, checkpoint=str(path))
    import_backbone(options, folder / "backbone.out.safetensors")
    model, metadata = load(folder / "backbone.out.safetensors")
    assert metadata.architecture == ARCHITECTURE or path.suffix == ".safetensors"
    assert all(torch.isfinite(t).all() for t in model.state_dict().values() if t.is_floating_point())
    assert all(np.isfinite(metadata.mean)) and all(value > 0 for value in metadata.std), "mean or std"


def _resume(name, content, folder, original):
    """A training checkpoint of ours."""
    import torch
    from inputs import IDENTITY

    from spd.training.checkpoint import load

    (folder / name).write_bytes(content)
    state = load(folder / name, identity=IDENTITY)
    assert state["identity"] == IDENTITY and isinstance(state["step"], int), "of another run"
    if _one_byte(content, original):
        (folder / "sound").write_bytes(original)
        sound = load(folder / "sound", identity=IDENTITY)
        assert state["step"] == sound["step"] and state["model"].keys() == sound["model"].keys()
        for key, tensor in sound["model"].items():
            assert torch.equal(state["model"][key], tensor), "a wrong byte went unnoticed"


READERS = {
    "archive": _archive,
    "image": _image,
    "mask": _mask,
    "csv": _csv,
    "annotations": _annotations,
    "manifest": _manifest,
    "config": _config,
    "safetensors": _backbone,
    "pth": _backbone,
    "checkpoint": _resume,
}


def warm_up(folder: Path) -> None:
    """Reads sound files once in this process, so that children find everything imported."""
    from inputs import seeds

    from spd.backbones.architectures import build

    with contextlib.suppress(ValueError):
        build("timm:none")  # imports timm, and what that imports
    for kind, files in {**seeds()}.items():
        for i, (name, content) in enumerate(files[:1] if kind != "pth" else files):
            place = folder / f"{kind}{i}"
            place.mkdir(parents=True)
            READERS[kind](name, content, place, None)
    import torch._dynamo  # noqa: F401 - torch.load imports it when it meets an unknown class

    assert CONFIG
