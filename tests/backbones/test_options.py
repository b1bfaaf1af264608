"""Options of foreign backbones: what cannot work is refused when the configuration is read."""

import pytest
from pydantic import ValidationError

from spd.backbones.options import BackboneOptions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "moco"}, "needs the key checkpoint"),
        ({"source": "random", "checkpoint": "a.pth"}, "takes no checkpoint"),
        (
            {"source": "timm", "architecture": "resnet50", "checkpoint": "a"},
            "needs architecture 'timm:<name>'",
        ),
        ({"source": "torchvision", "architecture": "timm:resnet50", "checkpoint": "a"}, "use source: timm"),
        ({"source": "lite0", "architecture": "resnet50"}, "remove the key architecture"),
        ({"source": "random", "width": 3}, "Extra inputs"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        BackboneOptions(**given)


def test_accepted():
    assert BackboneOptions(source="lite0").mean is None
    assert BackboneOptions(source="timm", architecture="timm:resnet18", checkpoint="a").stages[0] == "layer1"
