import pytest

from spd.data.geometry_options import GeometryOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.profiles import PROFILES, SAME_NUMBERS, overlay
from spd.detectors.registry import OPTIONS


@pytest.mark.parametrize("detector", ["padim", "patchcore"])
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

    assert deviations("padim") == {"epsilon", "blur_border"}
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


WHOLE = GeometryOptions(resize=256, mode="square").model_dump(mode="json")


def used(**changes):
    return PaDiMOptions(epsilon=0.01001, blur_border="mirror", **changes).model_dump(mode="json")


def test_an_untouched_profile_has_nothing_laid_over_it():
    assert overlay("padim", "anomalib", used(), {"name": "full256", **WHOLE}) == {}
    how = {"solver": "dual", "memory_gib": 4.0}
    assert set(how) <= set(SAME_NUMBERS) and overlay("padim", "anomalib", used(**how), WHOLE) == {}


def test_what_is_laid_over_a_profile_is_named_with_the_profiles_own_value():
    geometry = {**WHOLE, "resize": 128}
    assert overlay("padim", "anomalib", used(dim=100), geometry) == {"dim": (100, 550), "resize": (128, 256)}


def test_a_profile_of_the_users_own_means_what_its_config_says():
    assert overlay("padim", "demo", used(dim=100), WHOLE) == {}
    options = PatchCoreOptions(coreset_share=0.01).model_dump(mode="json")
    assert overlay("patchcore", "mine", options, WHOLE) == {}
    assert overlay("a detector of their own", "paper", options, WHOLE) == {}
