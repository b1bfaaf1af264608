"""faiss comes as two wheels that own the same package folder: exactly one may be installed."""

from importlib.metadata import PackageNotFoundError, distribution

CPU = ("faiss-cpu",)
GPU = ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11", "faiss-gpu-cuvs", "faiss-cuda")


class FaissError(RuntimeError):
    """faiss is installed twice, or is asked for and missing; the message says what to type."""


def installed() -> list[str]:
    """Names of the installed distributions that own the package `faiss`."""
    found = []
    for name in (*CPU, *GPU):
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def check_faiss(*, needed: bool) -> None:
    """Raises FaissError when two faiss wheels are installed, or none although `needed`.

    Two at once break the import of both, also after one of them is removed.
    """
    found = installed()
    if len(found) > 1:
        raise FaissError(
            f"{' and '.join(found)} are installed together, which breaks both; "
            f"pip uninstall -y {' '.join(found)}, then pip install -e '.[cpu]' or '.[gpu]'"
        )
    if needed and not found:
        raise FaissError(
            "the config asks for faiss (search: faiss), which is not installed; pip install -e '.[cpu]' "
            "or '.[gpu]', or set search: torch"
        )
