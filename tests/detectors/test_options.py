import subprocess
import sys

import pytest
from pydantic import ValidationError

from spd.detectors.options import PaDiMOptions, PatchCoreOptions, default_stages


def test_default_stages_of_a_resnet_are_the_originals():
    stages = ("layer1", "layer2", "layer3")
    assert default_stages("padim", (*stages, "layer4")) == stages
    assert default_stages("patchcore", (*stages, "layer4")) == ("layer2", "layer3")
    assert default_stages("patchcore", ("layer2", "layer3")) == ("layer2", "layer3")
    assert default_stages("patchcore", ("block7",)) == ("block7",)


@pytest.mark.parametrize(
    "values", [{"dim": 0}, {"epsilon": 0}, {"blur_border": "symmetric"}, {"stages": ()}, {"dims": 3}]
)
def test_padim_rejects(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        PaDiMOptions(**values)


@pytest.mark.parametrize(
    "values", [{"patch_size": 2}, {"coreset_share": 0}, {"coreset_share": 1.1}, {"projection_dim": 0}]
)
def test_patchcore_rejects(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        PatchCoreOptions(**values)


def test_options_and_profiles_import_neither_torch_nor_numba():
    code = (
        "import sys, spd.detectors.options, spd.detectors.registry;"
        "sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
