"""Archives are hostile: each attack here must be refused and leave nothing behind, inside or outside."""

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spd.data.archive import ArchiveError, unpack
from spd.data.options import ArchiveOptions
from spd.data.readers import class_folders

LIMITS = {"max_files": 50, "max_bytes": 1_000_000}


def member(name, kind=tarfile.REGTYPE, data=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data) if kind == tarfile.REGTYPE else 0
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar_bytes(*members, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.type == tarfile.REGTYPE else None)
    return buffer.getvalue()


def zip_bytes(*entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path):
    """A folder with an archive of the given bytes, and the check that unpacking it changes nothing else."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "bystander").write_text("untouched")

    def attempt(data, **options):
        (folder / "archive").write_bytes(data)
        with pytest.raises(ArchiveError) as caught:
            unpack(folder / "archive", folder / "target", **{**LIMITS, **options})
        visible = sorted(p.name for p in folder.iterdir() if p.name != ".archive.sha256.json")
        assert visible == ["archive", "bystander"], visible
        assert (folder / "bystander").read_text() == "untouched"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["place"]
        assert str(folder / "archive") in str(caught.value)
        return str(caught.value)

    return attempt


@pytest.fixture
def tree(tmp_path):
    """A folder of files to pack, and what is in it."""
    root = tmp_path / "tree"
    content = {"a.txt": b"1" * 3000, "train/good/000.png": b"", "train/good/001.png": bytes(range(256)) * 9}
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root, content


def unpacked(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".unpacked.json"
    }


@pytest.mark.parametrize("form", ["tar", "gztar", "bztar", "xztar", "zip"])
def test_unpacks_what_the_standard_library_packed(tree, tmp_path, form):
    root, content = tree
    archive = shutil.make_archive(str(tmp_path / "packed"), form, root)
    inventory = unpack(archive, tmp_path / "out", **LIMITS)
    assert unpacked(tmp_path / "out") == content
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    assert inventory == {"archive": digest, "files": 3, "bytes": sum(map(len, content.values()))}
    assert json.loads((tmp_path / "out" / ".unpacked.json").read_text()) == inventory
    assert not list(tmp_path.glob(".out*"))


needs_gnu_tar = pytest.mark.skipif(
    b"GNU tar" not in subprocess.run(["tar", "--version"], capture_output=True).stdout,
    reason="tar on this machine is not GNU's, whose formats and sparse files are wanted",
)


@needs_gnu_tar
def test_formats_of_other_tars(tree, tmp_path):
    root, content = tree
    for form in ("--format=gnu", "--format=ustar", "--format=posix"):
        subprocess.run(["tar", form, "-C", root, "-cf", tmp_path / "t.tar", "."], check=True)
        unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
        assert unpacked(tmp_path / "out") == content


def test_a_long_name_and_other_scripts(tmp_path):
    name = "/".join(["ordner-mit-langem-namen"] * 9) + "/größe-大きさ.png"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "t.tar", "w", format=form) as tar:
            info, data = member(name, data=form.to_bytes(1, "big"))
            tar.addfile(info, io.BytesIO(data))
        unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
        assert unpacked(tmp_path / "out") == {name: data}


def test_modes_and_owners_of_the_archive_are_ignored(tmp_path):
    (tmp_path / "t.tar").write_bytes(tar_bytes(member("f", mode=0o6777, uid=12345), member("g", mode=0)))
    unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
    plain = tmp_path / "plain"
    plain.touch()
    for name in "fg":
        status = (tmp_path / "out" / name).stat()
        assert (status.st_mode, status.st_uid) == (plain.stat().st_mode, os.getuid())


def test_a_tar_of_tars(tmp_path):
    inner = {
        n: tar_bytes(member(f"{n}_1.JPEG", data=n.encode()), member(f"{n}_2.JPEG")) for n in ("n01", "n02")
    }
    (tmp_path / "t.tar").write_bytes(tar_bytes(*(member(f"{n}.tar", data=d) for n, d in inner.items())))
    inventory = unpack(tmp_path / "t.tar", tmp_path / "out", nested=True, **LIMITS)
    assert sorted(unpacked(tmp_path / "out")) == [f"{n}/{n}_{i}.JPEG" for n in inner for i in (1, 2)]
    assert (inventory["files"], inventory["bytes"]) == (4, 8)


def test_a_small_twin_of_imagenets_archive_within_its_bounds(tmp_path):
    """Files and the classes' folders count; one bound less, and nothing is left."""
    classes, images = 6, 4
    inner = [
        (f"n{c:08d}", tar_bytes(*(member(f"n{c:08d}_{i}.JPEG", data=bytes(100)) for i in range(images))))
        for c in range(classes)
    ]
    (tmp_path / "t.tar").write_bytes(tar_bytes(*(member(f"{name}.tar", data=data) for name, data in inner)))
    fits = ArchiveOptions(
        file="t.tar", nested=True, limits={"max_files": classes * images + classes, "max_bytes": 2400}
    )
    for key in ("max_files", "max_bytes"):
        limits = fits.limits.model_copy(update={key: getattr(fits.limits, key) - 1})
        files, size = fits.model_copy(update={"limits": limits}).bounds()
        with pytest.raises(ArchiveError, match=key):
            unpack(tmp_path / "t.tar", tmp_path / "out", max_files=files, max_bytes=size, nested=True)
        assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".t.tar")) == ["t.tar"]
    files, size = fits.bounds()
    inventory = unpack(tmp_path / "t.tar", tmp_path / "out", max_files=files, max_bytes=size, nested=True)
    assert (inventory["files"], inventory["bytes"]) == (24, 2400)
    assert class_folders.read(tmp_path / "out").objects == [name for name, _ in inner]


NOT_PLAIN = {
    "symbolic link": member("l", tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member("l", tarfile.LNKTYPE, linkname="../bystander"),
    "fifo": member("p", tarfile.FIFOTYPE),
    "character device": member("d", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member("d", tarfile.BLKTYPE),
    "unknown type": member("u", b"V"),
    "absolute": member("/tmp/escaped"),
    "absolute folder": member("/tmp/escaped", tarfile.DIRTYPE),
    "parent": member("../escaped"),
    "hidden parent": member("a/b/../../../escaped"),
    "parent folder": member("../escaped", tarfile.DIRTYPE),
    "backslash": member("..\\escaped"),
    "drive": member("C:/escaped"),
    "newline": member("a\nb"),
    "not UTF-8": member("a\udcff"),
    "no name": member("./"),
    "name too long": member("a" * 300),
    "our own inventory": member(".unpacked.json"),
}


@pytest.mark.parametrize("bad", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_members_that_are_not_plain_files_or_folders(place, bad):
    place(tar_bytes(member("good.png"), bad, member("later.png")))
    # Below a class's folder these two are names like any other.
    if bad[0].name not in ("C:/escaped", ".unpacked.json"):
        place(tar_bytes(member("n1.tar", data=tar_bytes(bad))), nested=True)


TWICE = {
    "the same": ["a", "a"],
    "after normalising": ["a/b", "./a//b"],
    "another case": ["A.png", "a.png"],
    "a folder in another case": ["Train/a", "train/b"],
    "another Unicode form": ["é.png", "e\u0301.png"],
    "a file below a file": ["a", "a/b"],
    "a file on a folder": ["a/b", "a"],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", TWICE.values(), ids=TWICE)
def test_names_that_overwrite_each_other(place, names):
    first, second = names
    assert (
        "occurs twice" in (said := place(tar_bytes(member(first), member(second))))
        or "differ in case" in said
    )
    place(zip_bytes(*((name, b"x") for name in names)))


def test_a_folder_may_be_listed_twice(tmp_path):
    folder = member("a", tarfile.DIRTYPE)
    (tmp_path / "t.tar").write_bytes(tar_bytes(folder, member("a/b"), folder))
    assert unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)["files"] == 1


def test_limits(place):
    files = [member(f"{i}") for i in range(51)]
    assert "more than 50 files" in place(tar_bytes(*files))
    assert "more than 50 files" in place(tar_bytes(*(member(f"{i}", tarfile.DIRTYPE) for i in range(51))))
    assert "more than 50 files" in place(zip_bytes(*((f"{i}", b"") for i in range(51))))
    large = member("a", data=bytes(600_000)), member("b", data=bytes(600_000))
    for mode in ("w", "w:gz", "w:xz"):
        assert "more than 1,000,000 bytes" in place(tar_bytes(*large, mode=mode))
    inner = tar_bytes(large[0])
    assert "max_bytes" in place(
        tar_bytes(member("n1.tar", data=inner), member("n2.tar", data=inner)), nested=True
    )


def test_a_bomb_in_a_header_does_not_reach_memory(place):
    # A member whose extended header claims a gigabyte, which tarfile would read at once.
    header = tarfile.TarInfo("bomb")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    data = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20))
    assert "a header claims" in place(data, max_bytes=1 << 40)


def test_a_bomb_before_the_first_member(place):
    # A compressed gigabyte of nothing: refused by its length, though no member has been seen.
    zeros = io.BytesIO()
    with gzip.GzipFile(fileobj=zeros, mode="wb") as file:
        file.write(tar_bytes(member("a"))[:1024])
        for _ in range(40):
            file.write(bytes(1 << 20))
    place(zeros.getvalue())


def test_global_headers_do_not_pile_up(place):
    # tarfile keeps each one's keywords, and copies all of them for each member that follows.
    members = b""
    for i in range(200):
        record = f" key{i:04d}=x\n"
        header = tarfile.TarInfo("g")
        header.type, header.size = tarfile.XGLTYPE, len(record) + 2
        data = f"{len(record) + 2}{record}".encode()
        members += (
            header.tobuf(tarfile.USTAR_FORMAT) + data.ljust(512, b"\0") + tar_bytes(member(f"{i}"))[:1024]
        )
    assert "global headers" in place(members + bytes(1024), max_files=1000)


def test_one_global_header_is_nothing_unusual(tmp_path):  # git archive writes one
    with tarfile.open(tmp_path / "t.tar", "w", pax_headers={"comment": "a" * 40}) as tar:
        info, data = member("a.png")
        tar.addfile(info, io.BytesIO(data))
    assert unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)["files"] == 1


def test_a_chain_of_headers(place):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 0
    place(header.tobuf(tarfile.USTAR_FORMAT) * 3000)


@needs_gnu_tar
def test_a_sparse_file(place, tmp_path):
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(1 << 20)
    packed = subprocess.run(
        ["tar", "--sparse", "-C", tmp_path, "-cf", "-", "hole"], check=True, capture_output=True
    ).stdout
    hole.unlink()
    assert "sparse" in place(packed, max_bytes=1 << 30)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_cut_off_anywhere(place, mode):
    whole = tar_bytes(*(member(f"{i}.png", data=os.urandom(700)) for i in range(4)), mode=mode)
    end = len(whole) if mode != "w" else 4 * (512 + 1024)  # the end mark begins there
    for cut in {0, 1, 300, 512, 513, 1024, 1536, 2048, end // 2, end - 512, end - 1}:
        place(whole[:cut])


def test_a_damaged_header_is_not_taken_for_the_end(place):
    data = bytearray(tar_bytes(member("a"), member("b"), member("c")))
    data[1024:1030] = b"broken"
    place(bytes(data))


def test_not_an_archive(place):
    place(b"<html>moved</html>" * 100)
    place(b"PK\x03\x04 not really")
    place(zip_bytes(("n1.tar", b"x")), nested=True)
    assert "not a tar" in place(tar_bytes(member("readme.txt")), nested=True)


def test_zip_attacks(place):
    for name in ("/escaped", "../escaped", "a/../../escaped", "C:/escaped"):
        place(zip_bytes((name, b"x")))
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    assert "link" in place(zip_bytes((link, b"/etc/passwd")))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2_000_000))
    assert "more than 1,000,000" in place(bomb.getvalue())
    # Both headers understate the size.
    lying = bomb.getvalue().replace((2_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    place(lying)
    encrypted = bytearray(zip_bytes(("a", b"x")))
    directory = encrypted.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[directory + 8] |= 1
    assert "encrypted" in place(bytes(encrypted))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, 4 * 1536 - 1),
    value=st.integers(0, 255),
    names=st.lists(
        st.sampled_from(["a", "A", "a/b", "../x", "/x", ".", "b", "c\\d", "b/../../y"]), max_size=4
    ),
)
def test_whatever_is_in_it_stays_inside_or_is_refused(tmp_path, position, value, names):
    folder = tmp_path / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = bytearray(tar_bytes(*(member(name, data=b"z" * 600) for name in names)))
    data[position % len(data)] = value
    (folder / "t.tar").write_bytes(data)
    try:
        unpack(folder / "t.tar", folder / "out", **LIMITS)
        expected = {"t.tar", ".t.tar.sha256.json", "out"}
        assert not any(p.is_symlink() for p in (folder / "out").rglob("*"))
    except ArchiveError:
        expected = {"t.tar", ".t.tar.sha256.json"}
    assert {p.name for p in folder.iterdir()} == expected
    assert {p.name for p in tmp_path.iterdir()} == {"fuzz"}


def test_the_hash_is_required(place, tmp_path):
    assert "expected 000" in place(tar_bytes(member("a")), sha256="0" * 64)
    data = tar_bytes(member("a"))
    (tmp_path / "t.tar").write_bytes(data)
    assert unpack(tmp_path / "t.tar", tmp_path / "out", sha256=hashlib.sha256(data).hexdigest(), **LIMITS)


def test_the_same_archive_is_not_unpacked_twice_but_a_new_one_is(tmp_path):
    (tmp_path / "t.tar").write_bytes(tar_bytes(member("a")))
    unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
    (tmp_path / "out" / "a").write_bytes(b"touched")
    unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
    assert unpacked(tmp_path / "out") == {"a": b"touched"}
    (tmp_path / "t.tar").write_bytes(tar_bytes(member("b")))
    unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)
    assert unpacked(tmp_path / "out") == {"b": b"x"}


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "t.tar").write_bytes(tar_bytes(member("a")))
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "t.tar", tmp_path / "out", **LIMITS)  # empty: made by someone for us
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(ArchiveError, match="was not unpacked from an archive"):
        unpack(tmp_path / "t.tar", tmp_path / "mine", **LIMITS)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    with pytest.raises(ArchiveError, match="no such archive"):
        unpack(tmp_path / "no.tar", tmp_path / "new", **LIMITS)


def test_a_killed_run_leaves_no_target_and_the_next_one_starts_afresh(tmp_path):
    data = tar_bytes(*(member(f"{i}", data=bytes(100)) for i in range(3000)))
    (tmp_path / "t.tar").write_bytes(data)
    code = (
        "import sys; from spd.data import archive as a; import time\n"
        "write = a._write\n"
        "a._write = lambda path, entry: (write(path, entry), time.sleep(0.005))\n"
        "a.unpack(sys.argv[1], sys.argv[2], max_files=5000, max_bytes=10**7)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "t.tar", tmp_path / "out"])
    temporary = tmp_path / ".out.unpacking"
    deadline = time.monotonic() + 30
    while not (temporary / "5").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (temporary / "5").exists() and not (tmp_path / "out").exists()
    (temporary / "stale").write_text("of the killed run")
    assert unpack(tmp_path / "t.tar", tmp_path / "out", max_files=5000, max_bytes=10**7)["files"] == 3000
    assert not temporary.exists() and not (tmp_path / "out" / "stale").exists()
