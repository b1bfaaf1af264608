"""The order of the rooms: an import runs down, never up, and no two rooms import each other.

Imports inside functions count: they tie a stage's hash to what they name as much as others do.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = [  # from the ground up
    "spd",  # the files directly in it
    "spd/losses",
    "spd/metrics",
    "spd/data",
    "spd/views",
    "spd/backbones",
    "spd/methods",
    "spd/features",
    "spd/training",
    "spd/linear_protocol",
    "spd/detectors",
    "spd/report",
    "spd/config",
    "demo_data",
    "workflow_scripts/common",
    "workflow_scripts/planning",
    "workflow_scripts",
    "studies",
    "benchmarks",
]
TOPS = ("spd", "demo_data", "workflow_scripts", "studies", "benchmarks")


def sources(root):
    return [path for top in TOPS for path in (root / top).rglob("*.py")]


def room(path):
    """The longest name in ORDER that a file lies under, or its folder where there is none."""
    folders = [parent.as_posix() for parent in path.parents]
    return next((folder for folder in folders if folder in ORDER), folders[0])


def module(root, name):
    """The file of a dotted name, relative to the root; None for other packages and names inside modules."""
    path = root.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(root)
    return None


def imports(root):
    """(importing file, imported file), both relative to the root; a package's own `__init__` is no room."""
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                if (target := module(root, name)) and target.name != "__init__.py":
                    yield path.relative_to(root), target


def upward(root):
    """Imports from a room into one above it, one line each."""
    return [
        f"{path} imports {target}"
        for path, target in imports(root)
        if ORDER.index(room(target)) > ORDER.index(room(path))
    ]


def test_every_file_lies_in_a_room_of_the_order():
    assert {room(path.relative_to(ROOT)) for path in sources(ROOT)} <= set(ORDER)


def test_no_import_runs_up():
    assert upward(ROOT) == []


def test_an_import_that_runs_up_is_seen_inside_a_function_too(tmp_path):
    for name, text in {
        "spd/losses/cosine.py": "def f():\n    from spd.config import model\n",
        "spd/config/model.py": "from spd.losses.cosine import f\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert upward(tmp_path) == ["spd/losses/cosine.py imports spd/config/model.py"]


def test_files_of_one_room_import_each_other_in_no_circle():
    arrows = {}
    for path, target in imports(ROOT):
        arrows.setdefault(path, set()).add(target)
    done = set()

    def walk(path, way):
        if path in way:
            pytest.fail(" -> ".join(map(str, [*way[way.index(path) :], path])))
        if path not in done:
            for target in arrows.get(path, ()):
                walk(target, [*way, path])
            done.add(path)

    for path in list(arrows):
        walk(path, [])


def test_science_knows_neither_snakemake_nor_mlflow_and_its_ground_floor_is_small():
    for path in (ROOT / "spd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
                )
                assert not {str(name).split(".")[0] for name in names} & {"snakemake", "mlflow"}, path
    assert len(list((ROOT / "spd").glob("*.py"))) <= 10
