import pytest
from pydantic import ValidationError

from demo_data.parts import PARTS
from spd.data.demo_options import DemoOptions


def test_the_default_pool_of_2cls_fewshot_holds_ten_of_each_class():
    options = DemoOptions()
    assert options.visa_normal * 0.2 >= 10 and options.visa_anomaly * 0.2 >= 10
    assert {*options.visa_objects, *options.mvtec_categories} == set(PARTS)


@pytest.mark.parametrize(
    "wrong",
    [{"visa_objects": ["candle"]}, {"visa_objects": ["board", "board"]}, {"mvtec_categories": []},
     {"classes": 21}, {"scale": 0.1}, {"visa_normal": 1000}, {"imagess_per_class": 3}],
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        DemoOptions(**wrong)
