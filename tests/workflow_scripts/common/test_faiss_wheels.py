from importlib.metadata import PackageNotFoundError

import pytest

from workflow_scripts.common import faiss_wheels


@pytest.fixture
def wheels(monkeypatch):
    """Pretends that exactly the given distributions are installed."""

    def install(*names):
        def distribution(name):
            if name not in names:
                raise PackageNotFoundError(name)

        monkeypatch.setattr(faiss_wheels, "distribution", distribution)

    return install


def test_both_wheels_at_once_are_refused_even_when_not_needed(wheels):
    wheels("faiss-cpu", "faiss-gpu")
    with pytest.raises(faiss_wheels.FaissError, match=r"faiss-cpu and faiss-gpu .* pip uninstall"):
        faiss_wheels.check_faiss(needed=False)


def test_missing_is_refused_only_where_needed(wheels):
    wheels()
    faiss_wheels.check_faiss(needed=False)
    with pytest.raises(faiss_wheels.FaissError, match=r"\.\[cpu\]"):
        faiss_wheels.check_faiss(needed=True)


@pytest.mark.parametrize("one", ["faiss-cpu", "faiss-gpu"])
def test_one_is_enough(wheels, one):
    wheels(one)
    faiss_wheels.check_faiss(needed=True)
