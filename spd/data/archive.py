"""Unpacks archives that are hostile until proven otherwise."""

import json
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm import tqdm

from spd.data.fingerprint import archive_fingerprint

INVENTORY = ".unpacked.json"
CHUNK = 1 << 20  # bytes
# tarfile reads the extended header of a member into memory at once; a real one is a few hundred bytes.
LARGEST_READ = 1 << 20
# tarfile keeps the keywords of global headers and copies them for each member; a real archive has a few.
MOST_KEYWORDS = 100


class ArchiveError(ValueError):
    """The archive is damaged, breaks a rule or a limit; nothing of it was left behind."""


class _Entry(NamedTuple):
    name: str
    is_folder: bool
    size: int
    stream: IO[bytes] | None


def unpack(
    archive: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    max_files: int,
    max_bytes: int,
    sha256: str | None = None,
    nested: bool = False,
) -> dict[str, str | int]:
    """Unpacks a tar (plain, gz, bz2, xz) or zip into the folder `target` and returns its inventory.

    max_files, max_bytes: bounds on files plus folders, and on the sum of unpacked sizes; sha256: what the
    archive must be (None: anything); nested: the archive holds tars (ImageNet), each unpacked into a folder
    of its stem.

    Refused: absolute paths, `..`, links, devices, sparse files, names that are not plain UTF-8, a name that
    occurs twice or differs from another in case only. Modes and owners of the archive are ignored. Everything
    is written into `.<target>.unpacking` beside the target, which is renamed at the end: a killed run leaves
    no target, and the next one starts afresh. `<target>/.unpacked.json` holds archive (SHA-256), files,
    bytes; where it names the same archive already, nothing is done. Raises ArchiveError (a ValueError), after
    which nothing is left behind.
    """
    archive, target = Path(archive), Path(target)
    if not archive.is_file():
        raise ArchiveError(f"{archive}: no such archive")
    digest = archive_fingerprint(archive)
    if sha256 is not None and digest != sha256:
        raise ArchiveError(
            f"{archive}: its SHA-256 is {digest}, expected {sha256}; delete it and fetch it again"
        )
    known = _inventory(target)
    if known is not None and known.get("archive") == digest:
        return known
    if known is None and target.exists() and any(target.iterdir()):
        raise ArchiveError(f"{target}: exists and was not unpacked from an archive; move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.unpacking")
    _remove(temporary)
    temporary.mkdir()
    try:
        files, size = _extract(archive, temporary, max_files, max_bytes, nested)
        inventory: dict[str, str | int] = {"archive": digest, "files": files, "bytes": size}
        (temporary / INVENTORY).write_text(json.dumps(inventory, indent=2) + "\n")
        _remove(target)
        temporary.rename(target)
    except Exception as error:  # zlib.error, lzma.LZMAError, struct.error: damaged input has many faces
        _remove(temporary)
        if isinstance(error, ArchiveError):
            raise ArchiveError(f"{archive}: {error}; refused, nothing was unpacked") from None
        if isinstance(error, OSError) and error.errno is not None:
            raise ArchiveError(
                f"{archive}: could not be unpacked to {target}: {error}; nothing was left"
            ) from error
        raise ArchiveError(
            f"{archive}: damaged or no archive ({type(error).__name__}: {error}); nothing was unpacked"
        ) from error
    except BaseException:
        _remove(temporary)
        raise
    return inventory


def _extract(archive: Path, folder: Path, max_files: int, max_bytes: int, nested: bool) -> tuple[int, int]:
    names = _Names()
    files = size = 0
    # Headers and padding come on top of the contents.
    limit = max_bytes + (max_files + 16) * 4096
    total = archive.stat().st_size
    with (
        archive.open("rb") as raw,
        tqdm(total=total, unit="B", unit_scale=True, desc=f"unpack {archive.name}") as bar,
    ):
        for entry in _entries(raw, limit, nested):
            path = names.add(entry.name, entry.is_folder)
            files += 1
            size += entry.size
            if files > max_files:
                raise ArchiveError(f"holds more than {max_files:,} files and folders (limits: max_files)")
            if size > max_bytes:
                raise ArchiveError(f"unpacks to more than {max_bytes:,} bytes (limits: max_bytes)")
            if path is not None:
                _write(folder / path, entry)
            bar.update(raw.tell() - bar.n)
        bar.update(total - bar.n)  # the padding behind the last entry is not read
    return files - names.n_folders_listed, size


def _write(path: Path, entry: _Entry) -> None:
    if entry.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    left = entry.size
    with path.open("xb") as out:
        while left:
            chunk = entry.stream.read(min(CHUNK, left))
            if not chunk:
                raise ArchiveError(f"{entry.name} is cut off")
            out.write(chunk)
            left -= len(chunk)


class _Names:
    """Accepts each name once, also on file systems that fold case or Unicode forms."""

    def __init__(self) -> None:
        self.spelling: dict[str, tuple[str, bool]] = {_folded(INVENTORY): (INVENTORY, False)}
        self.n_folders_listed = 0

    def add(self, name: str, is_folder: bool) -> PurePosixPath | None:
        """The member's path below the target; None for the root itself (`./`)."""
        path = PurePosixPath(name)
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise ArchiveError(f"the name {name!r} is not UTF-8") from None
        if "\\" in name or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
            raise ArchiveError(f"the name {name!r} has a backslash or a control character")
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise ArchiveError(f"the name {name!r} points outside the target")
        if is_folder:
            self.n_folders_listed += 1
        if not path.parts:
            if is_folder:
                return None
            raise ArchiveError("a file has no name")
        for depth in range(1, len(path.parts) + 1):
            part = "/".join(path.parts[:depth])
            part_is_folder = is_folder or depth < len(path.parts)
            known = self.spelling.get(_folded(part))
            if known is None:
                self.spelling[_folded(part)] = (part, part_is_folder)
            elif known[0] != part:
                raise ArchiveError(f"{part!r} and {known[0]!r} differ in case or Unicode form only")
            elif not (known[1] and part_is_folder):
                raise ArchiveError(f"{part!r} occurs twice")
        return path


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _entries(raw: IO[bytes], limit: int, nested: bool) -> Iterator[_Entry]:
    if zipfile.is_zipfile(raw) and not _looks_like_tar(raw):
        if nested:
            raise ArchiveError("nested is for a tar of tars, this is a zip")
        raw.seek(0)
        yield from _zip_entries(raw)
        return
    raw.seek(0)
    for entry in _tar_entries(_decompressed(raw), limit):
        if not nested:
            yield entry
        elif not entry.is_folder:
            if not entry.name.endswith(".tar"):
                raise ArchiveError(f"{entry.name} is not a tar; nested expects a tar of tars")
            folder = entry.name.removesuffix(".tar")
            yield _Entry(folder, True, 0, None)
            for inner in _tar_entries(entry.stream, limit):
                if inner.name.startswith("/"):
                    raise ArchiveError(f"the name {inner.name!r} in {entry.name} is absolute")
                yield inner._replace(name=f"{folder}/{inner.name}")


def _looks_like_tar(raw: IO[bytes]) -> bool:
    # A tar whose last member is a stored zip ends like a zip.
    raw.seek(257)
    return raw.read(5) == b"ustar"


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(b"BZh"):
        import bz2

        return bz2.BZ2File(raw)
    if magic == b"\xfd7zXZ\x00":
        import lzma

        return lzma.LZMAFile(raw)
    return raw


class _Bounded:
    """A file that tarfile may read forwards only, in small pieces, up to a limit of decompressed bytes."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self.source, self.limit, self.last = source, limit, b""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > LARGEST_READ:
            raise ArchiveError(f"a header claims {size:,} bytes")
        self.last = self.source.read(size)
        self._check(self.source.tell())
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            self._check(offset)
        return self.source.seek(offset, whence)

    def tell(self) -> int:
        return self.source.tell()

    def seekable(self) -> bool:
        return True  # a nested tar asks

    def _check(self, position: int) -> None:
        if position > self.limit:
            raise ArchiveError(f"is more than {self.limit:,} bytes of tar (limits: max_bytes)")


def _tar_entries(source: IO[bytes], limit: int) -> Iterator[_Entry]:
    bounded = _Bounded(source, limit)
    with closing(tarfile.open(fileobj=bounded, mode="r:")) as tar:
        while True:
            member = tar.next()
            if member is None:
                break
            tar.members.clear()  # tarfile remembers every member; a million of them are a gigabyte
            if len(tar.pax_headers) > MOST_KEYWORDS:
                raise ArchiveError(f"its global headers hold more than {MOST_KEYWORDS} keywords")
            if member.issparse() or not (member.isreg() or member.isdir()):
                kind = "link" if member.issym() or member.islnk() else "device or special file"
                raise ArchiveError(f"{member.name!r} is a {'sparse file' if member.issparse() else kind}")
            if member.size < 0:
                raise ArchiveError(f"{member.name!r} has a negative size")
            size = member.size if member.isreg() else 0
            yield _Entry(member.name, member.isdir(), size, tar.extractfile(member) if size else None)
    # tarfile takes a damaged header and the end of the data for the end of the archive; the real end is a
    # block of zeros.
    if bounded.last != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError("it has no end mark: cut off or damaged")
    while bounded.read(CHUNK):
        pass  # to the end, so that the compression's checksum is verified


def _zip_entries(raw: IO[bytes]) -> Iterator[_Entry]:
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"{info.filename!r} is a link or device")
            if info.flag_bits & 1:
                raise ArchiveError(f"{info.filename!r} is encrypted")
            if info.is_dir():
                yield _Entry(info.filename, True, 0, None)
                continue
            with archive.open(info) as stream:  # yields file_size bytes at most and checks their CRC
                yield _Entry(info.filename, False, info.file_size, stream)


def _inventory(target: Path) -> dict[str, str | int] | None:
    try:
        return json.loads((target / INVENTORY).read_text())
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
