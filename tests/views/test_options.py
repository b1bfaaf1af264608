import subprocess
import sys

import pytest
from pydantic import ValidationError

from spd.views.options import BlurOptions, JitterOptions, LocalOptions, ViewOptions, ViewsOptions


def test_importing_the_options_imports_neither_torch_nor_numba():
    code = "import sys, spd.views.options; print(sorted({'torch', 'numba', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ViewOptions(scale=(0.9, 0.2)), "the lower bound 0.9 lies above the upper bound 0.2"),
        (lambda: ViewOptions(scale=(0.0, 1.0)), "greater than 0"),
        (lambda: ViewOptions(flip=1.5), "less than or equal to 1"),
        (lambda: ViewOptions(interpolation="nearest"), "'bilinear' or 'bicubic'"),
        (lambda: JitterOptions(hue=0.6), "less than or equal to 0.5"),
        (lambda: BlurOptions(sigma=(0.0, 1.0)), "greater than 0"),
        (lambda: LocalOptions(area=(0.1, 2.0)), "less than or equal to 1"),
        (lambda: LocalOptions(kind="mixup"), "'smoothblend' or 'cutpaste'"),
        (lambda: ViewsOptions(strong=()), "at least one"),
        (lambda: ViewsOptions(blend=1), "Extra inputs are not permitted"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


def test_each_view_has_its_own_augmentation():
    first, second = ViewOptions(size=64), ViewOptions(size=32)
    options = ViewsOptions(strong=(first, second))
    assert [options.augmentation(name) for name in ("q", "k", "x", "anchor")] == [first, second, first, first]
    assert options.augmentation("plus") is options.augmentation("minus") is options.weak
    assert ViewsOptions(strong=first).augmentation("k") == first


def test_names_add_views_only_for_spd():
    assert ViewsOptions().names(("q", "k")) == ("q", "k")
    assert ViewsOptions().names(("x",), spd=True) == ("x", "plus", "minus")
    assert ViewsOptions(anchor="image").names(("q", "k"), spd=True) == ("q", "k", "anchor", "plus", "minus")


def test_a_plain_mapping_such_as_yaml_gives_is_accepted():
    options = ViewsOptions.model_validate(
        {"strong": [{"scale": [0.08, 1]}, {}], "local": {"area": [0.005, 0.01]}}
    )
    assert options.augmentation("q").scale == (0.08, 1.0)
    assert options.augmentation("k").scale == (0.2, 1.0)
