"""Where a number came from: the source code that made it, the commit, the files it was made of."""

import ast
import functools
import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

import spd

PACKAGE = Path(__file__).resolve().parent
PACKAGES = ("spd", "demo_data")


@functools.cache
def source_hash(*sources: str | Path) -> str:
    """Hash of the meaning of `sources` and of every module of `PACKAGES` they import, directly or not.

    A source is a dotted name such as `spd.training.loop`, or the path of a script. Comments,
    docstrings and layout do not count, so
    that editing a comment does not retrain a backbone; data files do not count either (rules name
    them). Returns 12 hexadecimal digits. Raises ValueError for a module that does not
    exist. (ours)
    """
    digest = hashlib.sha256()
    # Sorted by what is hashed: the order of full paths would depend on how a script's path is spelt.
    for name, path in sorted((_name(path), path) for path in _closure(sources)):
        digest.update(name.encode() + b"\0")
        digest.update(ast.dump(_without_docstrings(_parse(path))).encode() + b"\0")
    return digest.hexdigest()[:12]


def _name(path: Path) -> str:
    """A module's place inside the package, or a script's file name, which must not pass for a module's."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else f"/{path.name}"


def _closure(sources: tuple[str | Path, ...]) -> set[Path]:
    found: set[Path] = set()
    waiting = [source if isinstance(source, Path) else _require(source) for source in sources]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imported(_parse(path)):
            target = _file_of(name)
            if target is not None:
                waiting.append(target)
    return found


def _require(module: str) -> Path:
    path = _file_of(module)
    if path is None:
        raise ValueError(f"no module {module} in the package spd")
    return path


def _file_of(module: str) -> Path | None:
    """The file of a dotted name inside `PACKAGES`, None for other packages and for names inside a module."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    base = PACKAGE.parent.joinpath(*parts)
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


def _imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from spd.losses import spd` names a module, `from spd.metrics.image import f` does not.
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
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
            "status", "--porcelain", "--untracked-files=no", "--", *PACKAGES, "workflow_scripts", "rules"
        )
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "commit_date": None}
    name, date = line.split()
    return {"commit": name + ("+" if dirty else ""), "commit_date": date}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits. Raises OSError when it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 of some files' names and contents, whatever folder and order they come in."""
    named = sorted((path.name, file_sha256(path)) for path in paths)
    return hashlib.sha256("".join(f"{name} {content}\n" for name, content in named).encode()).hexdigest()


def code_version(*sources: str | Path) -> dict[str, str | None]:
    """What a result carries about the code: `code` (the source hash), `spd_version`, the commit."""
    return {"code": source_hash(*sources), "spd_version": spd.__version__, **commit()}
