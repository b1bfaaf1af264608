"""What a file holds that was given as a checkpoint and is none."""

import zipfile
from pathlib import Path

AGAIN = "download it again, in one piece"

_PAGE = "an HTML page (a login, a notice or an error), not the weights; fetch the file itself"
_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights; run `git lfs pull` where it came from"),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<?xml", "an XML page, as a refused download leaves one, not the weights; fetch the file itself"),
    (b"\x89hdf", "an HDF5 file, as Keras writes it; convert it to PyTorch, or look for such a file"),
    (b"\x1f\x8b", "a gzip archive; unpack it and name the file in it"),
    (b"bzh", "a bzip2 archive; unpack it and name the file in it"),
    (b"\xfd7zxz", "an xz archive; unpack it and name the file in it"),
)


def contents(path: Path) -> str | None:
    """What the file is and the way out, as what follows `<path> is `; None where that is not known, or where
    it is a whole archive of torch.save."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return f"empty; {AGAIN}"
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(path, size)
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = next((what for start, what in _BEGINNINGS if begins.startswith(start)), None)
    if found is None and head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        found = f"text that begins {' '.join(head.decode().split())[:60]!r}, not the weights"
    return found


def _of_zip(path: Path, size: int) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return f"the first {size:,} bytes of a zip archive whose end is missing: half a download; {AGAIN}"
    except Exception:  # what a damaged archive raises
        return f"a damaged zip archive; {AGAIN}"
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "a TorchScript archive, which is code as well as weights; where you trust it, keep its weights: "
            "torch.save(torch.jit.load(file).state_dict(), ...)"
        )
    if any(name.endswith("data.pkl") for name in names):
        return None
    shown = ", ".join(f"{name!r:.60}" for name in names[:3])
    return f"a zip archive of {len(names)} files ({shown}), none of them torch.save's; unpack it first"
