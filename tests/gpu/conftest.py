"""What only a GPU can show. Without one these tests are skipped; `make test-gpu` fails instead."""

import importlib.util
from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def loop():
    """The workers of the loop's tests: small recipes of every method, and every variant of SPD."""
    folder = Path(__file__).parent.parent / "training"
    found = {}
    for name in ("small_runs", "worker"):
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        found[name] = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(folder))
            spec.loader.exec_module(found[name])
    return found["worker"]
