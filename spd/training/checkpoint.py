"""Checkpoints: one file, atomic, that says which run it belongs to."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from spd.files import atomic_path

FORMAT = 1


def save(path: str | os.PathLike[str], *, identity: dict[str, Any], step: int, **state: Any) -> None:
    """Writes tensors and plain values; the file is the old one or the new one, never a part, even after a
    crash.

    identity: what makes the run this run (see `spd.training.settings.Settings.identity`); step: steps done.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, "identity": identity, "step": step, **state}, file)
        file.flush()
        os.fsync(file.fileno())  # the name must not reach the disk before the content


def load(path: str | os.PathLike[str], *, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What `save` wrote, on the CPU, or None where there is no file. Nothing but tensors and plain values is
    unpickled.

    Raises ValueError if the file is damaged or belongs to another run, naming what differs.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as records:
            damaged = records.testzip()  # torch itself does not look at the checksums that it wrote
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
        stored = content["identity"]
        if not isinstance(stored, dict) or not isinstance(content["step"], int):
            raise TypeError("it does not say which run it belongs to")
    except Exception as error:  # torch raises a different class for each way a file can be damaged
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path}: not a readable checkpoint ({reason}); delete it to start again") from error
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{path}: has format {content.get('format')}, not {FORMAT}; delete it to start again"
        )
    different = sorted(key for key in {*stored, *identity} if stored.get(key) != identity.get(key))
    if different:
        shown = "; ".join(f"{key}: {stored.get(key)} there, {identity.get(key)} here" for key in different)
        raise ValueError(
            f"{path}: belongs to another run ({shown}); delete it to start again, or restore the old settings"
        )
    return content
