import pytest

from spd.detectors.profiles import PROFILES
from spd.detectors.registry import OPTIONS


@pytest.mark.parametrize("detector", PROFILES)
def test_profiles_are_valid_and_paper_is_the_default(detector):
    model = OPTIONS[detector]
    for profile in PROFILES[detector].values():
        model(**profile["options"])
    assert model(**PROFILES[detector]["paper"]["options"]) == model()


def test_paper_shares_its_geometry_so_that_detectors_share_features():
    for profile in ("paper", "full"):
        assert PROFILES["padim"][profile]["geometry"] == PROFILES["patchcore"][profile]["geometry"]


def test_anomalib_profile_deviates_from_official_where_its_source_does():
    def deviations(detector):
        official, anomalib = (PROFILES[detector][p]["options"] for p in ("official", "anomalib"))
        return {key for key in anomalib if official.get(key) != anomalib[key]}

    assert deviations("padim") == {"extra_epsilon", "blur_border"}
    assert deviations("patchcore") == {
        "embedding",
        "projection",
        "projection_dim",
        "projection_eps",
        "greedy_start",
        "reweighting",
        "squared",
        "upsampling",
        "blur_border",
    }
