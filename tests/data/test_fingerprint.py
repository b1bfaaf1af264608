import hashlib
import os

import pytest

from spd.data.fingerprint import archive_fingerprint, folder_fingerprint


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.png", "a/2.JPG", "b.csv", "README.md", ".cache/3.png", "._4.png"):
        path = tmp_path / "f" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, ns=(10**18, 10**18))
    return tmp_path / "f"


def test_it_is_the_documented_hash(folder):
    lines = [f"{name}\0{5}\0{10**18}\n" for name in ("a/1.png", "a/2.JPG", "b.csv")]
    assert folder_fingerprint(folder) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_it_changes_with_what_a_reader_sees_and_with_nothing_else(folder):
    before = folder_fingerprint(folder)
    (folder / "notes.txt").write_text("new")
    (folder / ".cache" / "3.png").write_text("new")
    assert folder_fingerprint(folder) == before
    seen = {before}

    def changed():
        seen.add(folder_fingerprint(folder))
        return len(seen)

    (folder / "a" / "1.png").write_bytes(b"54321")  # a new time
    assert changed() == 2
    (folder / "a" / "1.png").write_bytes(b"123456")
    os.utime(folder / "a" / "1.png", ns=(10**18, 10**18))  # another size under the old time
    assert changed() == 3
    (folder / "a" / "2.JPG").rename(folder / "2.JPG")
    assert changed() == 4
    (folder / "b.csv").unlink()
    assert changed() == 5


def test_files_elsewhere_count_by_their_own_path_and_those_below_once(folder, tmp_path):
    before = folder_fingerprint(folder)
    assert folder_fingerprint(folder, [folder / "b.csv"]) == before
    other = tmp_path / "other.csv"
    missing = folder_fingerprint(folder, [other])
    other.write_text("x")
    assert len({before, missing, folder_fingerprint(folder, [other])}) == 3
    assert folder_fingerprint(folder, [folder / ".." / "other.csv"]) != before


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    (tmp_path / "linked").symlink_to(folder)
    assert folder_fingerprint(tmp_path / "linked") == folder_fingerprint(folder)
    before = folder_fingerprint(folder)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "nothing")
    assert folder_fingerprint(folder) == before
    with pytest.raises(ValueError, match="no such folder"):
        folder_fingerprint(tmp_path / "nothing")


def test_an_archive_is_hashed_once_while_it_stays_the_same(tmp_path):
    path = tmp_path / "t.tar"
    path.write_bytes(b"one")
    assert archive_fingerprint(path) == hashlib.sha256(b"one").hexdigest()
    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert archive_fingerprint(path) == hashlib.sha256(b"one").hexdigest()  # as far as one can see
    os.utime(path, ns=(0, 1))
    assert archive_fingerprint(path) == hashlib.sha256(b"two").hexdigest()
    (tmp_path / ".t.tar.sha256.json").write_text("{")
    assert archive_fingerprint(path) == hashlib.sha256(b"two").hexdigest()
    with pytest.raises(FileNotFoundError):
        archive_fingerprint(tmp_path / "none.tar")


def test_every_path_that_a_csv_names_counts_whatever_its_extension(folder):
    named = ("a/3.jfif", ".cache/3.png", "a/mask", "a/missing.gif")
    for name in named[:3]:
        (folder / name).write_bytes(b"12345")
    for name in named[:3]:
        os.utime(folder / name, ns=(10**18, 10**18))
    rows = [f"o;train;normal;{image};{mask}" for image, mask in (named[:2], named[2:])]
    csv = folder / "b.csv"
    csv.write_text("\n".join(["Object; Split; Label; Image; Mask", *rows]))
    walked = folder_fingerprint(folder)
    before = folder_fingerprint(folder, ["b.csv"])
    states = {walked, before}
    for number, name in enumerate(named):
        (folder / name).write_bytes(b"123456")  # replaced, or there at last
        states.add(folder_fingerprint(folder, ["b.csv"]))
        assert len(states) == 3 + number, name
    assert folder_fingerprint(folder) == walked
    # A CSV that cannot be read is its reader's affair.
    csv.write_bytes(b"\xff")
    assert folder_fingerprint(folder, ["b.csv", "none.csv"]) == folder_fingerprint(folder)
    csv.write_bytes(b"image\na\0b.gif\n")
    assert folder_fingerprint(folder, ["b.csv"]) != folder_fingerprint(folder)
