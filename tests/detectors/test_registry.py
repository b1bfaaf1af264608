import pytest

from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM
from spd.detectors.patchcore import PatchCore
from spd.detectors.registry import build


def test_builds_by_name():
    assert isinstance(build("padim"), PaDiM)
    assert isinstance(build("patchcore"), PatchCore)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'cflow'; there are padim, patchcore"):
        build("cflow")


def test_options_of_the_other_detector_are_refused():
    with pytest.raises(TypeError, match="takes PatchCoreOptions, got PaDiMOptions"):
        build("patchcore", PaDiMOptions())
