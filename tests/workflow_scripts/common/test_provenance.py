import subprocess
import sys

import pytest

from spd.detectors.registry import DETECTORS
from spd.methods.options import METHODS
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
    monkeypatch.setattr(provenance, "ROOT", tmp_path)

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


def test_what_only_the_workflow_needs_and_the_version_do_not_count(package):
    root, hash_of = package
    before = hash_of("spd.a")
    text = (root / "a.py").read_text()
    (root / "__init__.py").write_text("__version__ = '9'\n")
    records = root.parent / "workflow_scripts/common/records.py"
    records.parent.mkdir(parents=True)
    records.write_text("import spd.b\n")
    (root / "a.py").write_text("import spd\nfrom workflow_scripts.common import records\n" + text)
    other = hash_of("spd.a")
    assert other != before, "an import is part of the module that has it"
    (root / "__init__.py").write_text("__version__ = '10'\n")
    records.write_text("import spd.losses\n")
    assert hash_of("spd.a") == other
    world = root.parent / "demo_data"
    world.mkdir()
    (world / "draw.py").write_text("x = 1\n")
    (root / "a.py").write_text("import demo_data.draw\n" + text)
    other = hash_of("spd.a")
    (world / "draw.py").write_text("x = 2\n")
    assert hash_of("spd.a") != other


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


def test_a_class_of_the_users_own_brings_its_package_and_no_other(package, tmp_path, monkeypatch):
    _, hash_of = package
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "byol.py": "import numpy\nfrom .deep import heads\nfrom spd.b import VALUE\nclass BYOL: pass\n",
        "deep/__init__.py": "",
        "deep/heads.py": "from .. import shared\n",
        "shared.py": "X = 1\n",
        "unused.py": "Y = 1\n",
    }
    for name, text in files.items():
        (mine / name).write_text(text)
    (tmp_path / "single.py").write_text("class KNN: pass\n")
    script = tmp_path / "stage.py"
    script.write_text("import spd.a\n")
    assert list(provenance.modules(script, "mine.byol:BYOL")) == [
        *("/stage.py", "mine", "mine.byol", "mine.deep", "mine.deep.heads", "mine.shared"),
        *("spd.a", "spd.b", "spd.losses", "spd.losses.cosine"),
    ]
    assert list(provenance.modules("single:KNN")) == ["single"]

    before = hash_of(script, "mine.byol:BYOL")
    (mine / "unused.py").write_text("Y = 2\n")
    (mine / "shared.py").write_text("# why\nX = 1\n")
    assert hash_of(script, "mine.byol:BYOL") == before != hash_of(script)
    (mine / "shared.py").write_text("X = 2\n")
    assert hash_of(script, "mine.byol:BYOL") != before


def test_a_cells_hash_hangs_on_its_own_detector_alone():
    scripts = provenance.PACKAGE.parent / "workflow_scripts"
    for stage, registry in (("detect", DETECTORS), ("finetune", DETECTORS), ("pretrain", METHODS)):
        modules = {name: entry.path.partition(":")[0] for name, entry in registry.items()}
        for name, entry in registry.items():
            counted = provenance.modules(scripts / f"{stage}.py", entry.path)
            assert modules[name] in counted
            assert not counted.keys() & {module for other, module in modules.items() if other != name}


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


def test_commit_is_that_of_git():
    found = provenance.commit()
    head = subprocess.run(
        ["git", "-C", str(provenance.PACKAGE), "log", "-1", "--format=%h"], capture_output=True, text=True
    ).stdout.strip()
    assert (found["commit"] or "").rstrip("+") == head
