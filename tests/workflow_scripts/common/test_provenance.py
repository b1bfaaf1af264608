import hashlib
import subprocess
import sys

import pytest

from workflow_scripts.common import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package of the same name, so that hashes can be watched while files change."""
    root = tmp_path / "spd"
    (root / "losses").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "losses" / "__init__.py").write_text("")
    (root / "losses" / "cosine.py").write_text("def f(x):\n    return x\n")
    (root / "a.py").write_text(
        '"""Doc."""\nfrom spd.losses import cosine\n\ndef g(x):\n    return cosine.f(x)\n'
    )
    (root / "b.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", root)

    def hash_of(*modules):
        provenance.source_hash.cache_clear()
        provenance._parse.cache_clear()
        return provenance.source_hash(*modules)

    yield root, hash_of
    provenance.source_hash.cache_clear()
    provenance._parse.cache_clear()


def test_hash_follows_imports_and_nothing_else(package):
    root, hash_of = package
    a, b = hash_of("spd.a"), hash_of("spd.b")
    (root / "losses" / "cosine.py").write_text("def f(x):\n    return x + 1\n")
    assert hash_of("spd.a") != a
    assert hash_of("spd.b") == b


def test_the_generated_world_counts(package):
    root, hash_of = package
    (root.parent / "demo_data").mkdir()
    (root.parent / "demo_data/weave.py").write_text("SIZE = 1\n")
    script = root.parent / "draw.py"
    script.write_text("from demo_data.weave import SIZE\n")
    before = hash_of(script)
    (root.parent / "demo_data/weave.py").write_text("SIZE = 2\n")
    assert hash_of(script) != before


def test_comments_and_docstrings_do_not_count(package):
    root, hash_of = package
    before = hash_of("spd.a")
    (root / "a.py").write_text(
        '"""Other words."""\n# why\nfrom spd.losses import cosine\n\n'
        'def g(x):\n    "new"\n    return cosine.f(x)\n'
    )
    assert hash_of("spd.a") == before
    (root / "a.py").write_text("from spd.losses import cosine\ndef g(x):\n    return cosine.f(x + 1)\n")
    assert hash_of("spd.a") != before


def test_a_scripts_hash_does_not_hang_on_the_spelling_of_its_path(package):
    # Snakemake spells a script's folder as `rules/../workflow_scripts`, which sorts before the package.
    root, hash_of = package
    scripts = root.parent / "workflow_scripts"
    scripts.mkdir()
    (root.parent / "rules").mkdir()
    for name in ("stage.py", "a.py"):  # one is called like a module
        (scripts / name).write_text("import spd.a\n")
        assert hash_of(scripts / name) == hash_of(root.parent / "rules/../workflow_scripts" / name)


def test_unknown_module_is_an_error(package):
    _, hash_of = package
    with pytest.raises(ValueError, match=r"spd\.nowhere"):
        hash_of("spd.nowhere")


def test_import_of_spd_is_light():
    heavy = (
        "import sys, spd.config.model; print([m for m in ('torch', 'numba', 'mlflow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_file_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert provenance.file_sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_files_have_one_hash_wherever_they_lie(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("x", "y"):
            (tmp_path / folder / name).write_text(name)
    a, b = (provenance.files_sha256((tmp_path / folder).iterdir()) for folder in ("a", "b"))
    assert a == b == provenance.files_sha256(sorted((tmp_path / "a").iterdir(), reverse=True))
    (tmp_path / "b/y").write_text("x")
    assert provenance.files_sha256((tmp_path / "b").iterdir()) != a
    (tmp_path / "a/y").rename(tmp_path / "a/z")
    assert provenance.files_sha256((tmp_path / "a").iterdir()) != a


def test_commit_is_that_of_git():
    found = provenance.commit()
    head = subprocess.run(
        ["git", "-C", str(provenance.PACKAGE), "log", "-1", "--format=%h"], capture_output=True, text=True
    ).stdout.strip()
    assert (found["commit"] or "").rstrip("+") == head
