"""Geometry options."""

import pytest
from pydantic import ValidationError

from spd.data.geometry_options import GeometryOptions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize": 64, "crop": 65}, "crop 65 is larger than resize 64"),
        ({"mode": "long"}, "'short' or 'square'"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        GeometryOptions(**given)
