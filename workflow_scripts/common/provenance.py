"""Where a number came from: the source code that made it, the commit, the files it was made of."""

import ast
import functools
import hashlib
import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path

import spd
from spd.registry import look_in_working_directory

PACKAGE = Path(spd.__file__).resolve().parent
ROOT = PACKAGE.parent
COUNTED = ("spd", "demo_data")
"""Packages whose modules decide results; what the jobs share (workflow_scripts/common) decides none."""


@functools.cache
def source_hash(*sources: str | Path) -> str:
    """Hash of the meaning of `sources` and of every module that decides their results (`modules`).

    A source is a dotted name such as `spd.training.loop`, the import path of a class such as
    `mypackage.byol:BYOL`, or the path of a script. Comments, docstrings and layout do not count, so
    that editing a comment does not retrain a backbone; data files do not count either (rules name
    them). Returns 12 hexadecimal digits. Raises ValueError for a module that does not
    exist. (ours)
    """
    digest = hashlib.sha256()
    for name, path in modules(*sources).items():
        digest.update(name.encode() + b"\0")
        digest.update(ast.dump(_without_docstrings(_parse(path))).encode() + b"\0")
    return digest.hexdigest()[:12]


def modules(*sources: str | Path) -> dict[str, Path]:
    """Dotted name -> file of the modules that `sources` import, directly or not, in `COUNTED` and in the
    packages that the sources themselves lie in, sorted by name; a script stands under `/` and its file name,
    which must not pass for a module's. What only the workflow needs is not entered, nor is the file that
    holds the version: a release alone changes no result."""
    named = [source.partition(":")[0] for source in sources if isinstance(source, str)]
    folders = dict.fromkeys(COUNTED, ROOT)  # top-level package or module -> the folder that it lies in
    for top in dict.fromkeys(name.partition(".")[0] for name in named):
        folders.setdefault(top, _folder_of(top))
    waiting = [(f"/{source.name}", source) for source in sources if isinstance(source, Path)]
    waiting += [(name, _require(name, folders)) for name in named]
    found: dict[str, Path] = {}
    while waiting:
        name, path = waiting.pop()
        if name not in found:
            found[name] = path
            files = {one: _counted(one, folders) for one in _imported(_parse(path), name, path)}
            waiting += [(imported, file) for imported, file in files.items() if file is not None]
    return dict(sorted(found.items()))


def _folder_of(top: str) -> Path | None:
    """The folder in which a package or module lies, which is not imported; None where there is none."""
    look_in_working_directory()
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    inside = next(iter(spec.submodule_search_locations or [spec.origin]))
    return Path(inside).parent


def _require(module: str, folders: Mapping[str, Path | None]) -> Path:
    path = _file_of(module, folders)
    if path is None:
        raise ValueError(f"no module {module}")
    return path


def _counted(module: str, folders: Mapping[str, Path | None]) -> Path | None:
    """The file of a module that counts, None for any other name; that of the version does not."""
    return None if module == "spd" else _file_of(module, folders)


def _file_of(module: str, folders: Mapping[str, Path | None]) -> Path | None:
    """The file of a dotted name inside one of `folders`, None for other packages and for names inside a
    module."""
    parts = module.split(".")
    folder = folders.get(parts[0])
    if folder is None:
        return None
    base = folder.joinpath(*parts)
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


def _imported(tree: ast.Module, module: str, path: Path) -> set[str]:
    """Dotted names of what a module imports, of functions and classes, too."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            # `from spd.losses import spd` names a module, `from spd.metrics.image import f` does not.
            names.add(source)
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


class _Docstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands alone is documentation wherever it stands (field docstrings too).
            node.body = [
                line
                for line in body
                if not (
                    isinstance(line, ast.Expr)
                    and isinstance(line.value, ast.Constant)
                    and isinstance(line.value.value, str)
                )
            ]
        return node


def _without_docstrings(tree: ast.Module) -> ast.Module:
    return _Docstrings().visit(ast.parse(ast.unparse(tree)))


@functools.cache
def commit() -> dict[str, str | None]:
    """`{"commit", "commit_date"}` of the checkout the package lies in; None outside a checkout.

    A commit with local changes to tracked files ends in `+`.
    """
    try:
        line = _git("log", "-1", "--format=%h %cs")
        dirty = _git(
            "status", "--porcelain", "--untracked-files=no", "--", *COUNTED, "workflow_scripts", "rules"
        )
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "commit_date": None}
    name, date = line.split()
    return {"commit": name + ("+" if dirty else ""), "commit_date": date}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def code_version(*sources: str | Path) -> dict[str, str | None]:
    """What a result carries about the code: `code` (the source hash), `spd_version`, the commit."""
    return {"code": source_hash(*sources), "spd_version": spd.__version__, **commit()}
