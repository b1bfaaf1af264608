import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from spd.report.claims import COLUMNS, claims, holm, p_value, verdict, write_claims
from spd.report.tidy import tidy


@pytest.mark.parametrize(
    ("sign", "effect", "low", "high", "p", "expected"),
    [
        (1, 2.0, 0.5, 3.0, 0.01, "holds"),
        (-1, -2.0, -3.0, -0.5, 0.01, "holds"),
        (1, -2.0, -3.0, -0.5, 0.01, "contradicted"),
        (-1, 2.0, 0.5, 3.0, 0.01, "contradicted"),
        (1, 2.0, 0.5, 3.0, 0.05, "undecided"),
        (1, 2.0, -0.1, 3.0, 0.01, "undecided"),
        (1, 2.0, 0.0, 3.0, 0.01, "undecided"),
        (1, 2.0, None, None, None, "undecided"),
        (0, 2.0, 0.5, 3.0, None, "no sign claimed"),
        (1, None, None, None, None, "no results"),
    ],
)
def test_verdicts(sign, effect, low, high, p, expected):
    assert verdict(sign, effect, low, high, p, seeds=True) == expected
    of_one_pair = f"{expected} for this pair" if expected in ("holds", "contradicted") else expected
    assert verdict(sign, effect, low, high, p, seeds=False) == of_one_pair


@pytest.mark.parametrize(("effect", "error"), [(1.0, 0.2), (-3.0, 1.6), (0.1, 4.0), (0.0, 1.0)])
def test_p_of_a_normals_interval(effect, error):
    low, high = norm.interval(0.95, effect, error)
    assert p_value(effect, low, high) == pytest.approx(2 * norm.sf(abs(effect) / error), rel=1e-5)


def test_p_of_an_interval_without_width():
    assert p_value(-1.0, -1.0, -1.0) == 0 and p_value(0.0, 0.0, 0.0) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    corrected = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for k, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):  # smallest first, until one fails
            if p[i] * (len(p) - k) >= level:
                break
            rejected.add(i)
        assert rejected == {i for i, value in enumerate(corrected) if value < level}


@pytest.fixture
def fewshot(cells, cell_content, options):
    """Three objects, 5 shots, 2 draws: SimSiam gains 2, 3, 4 points, MoCo loses as much, Sup 2, -2, 3."""
    gains = {"SimSiam": (0.02, 0.03, 0.04), "MoCo": (-0.02, -0.03, -0.04), "Sup": (0.02, -0.02, 0.03)}
    contents, rows = [], []
    for label, by_object in gains.items():
        for spd in ("none", "spd"):
            rows.append(f"{label}_{spd}")
            for draw in range(2):
                numbers = {
                    name: {"AU-PR": 0.5 + 0.1 * draw + gain * (spd == "spd")}
                    for name, gain in zip("abc", by_object, strict=True)
                }
                contents.append(
                    cell_content(
                        rows[-1], label=label, spd=spd, setup="2cls_fewshot", detector="classifier", shots=5,
                        draw=draw, classification=numbers,
                    )
                )  # fmt: skip
    return tidy(cells(*contents), "x", options(setup="2cls_fewshot", detector=None, rows=rows))


def one(frame, claim):
    found = frame[frame["claim"] == claim]
    assert len(found) == 1, list(frame["claim"])
    return found.iloc[0]


SIGN = "twoclass_fewshot_VisA_{}_5_classification_AU-PR"


def test_signs_by_hand(fewshot):
    frame = claims({"twoclass_fewshot": fewshot})
    simsiam = one(frame, SIGN.format("SimSiam"))
    assert (simsiam.published, simsiam.verdict) == (4.2, "holds for this pair")
    assert simsiam.effect == pytest.approx(3.0) and 2 <= simsiam.ci_low < 3 < simsiam.ci_high <= 4
    assert one(frame, SIGN.format("MoCo")).verdict == "contradicted for this pair"  # the poster has +0.3
    sup = one(frame, SIGN.format("Sup"))
    assert (sup.verdict, sup.effect) == ("undecided", pytest.approx(1.0))
    assert one(frame, SIGN.format("SimCLR")).verdict == "no results"


def test_a_claim_holds_without_more_words_where_pretraining_seeds_were_redrawn(fewshot):
    mine = (fewshot["object"] == "mean") & (fewshot["method"] == "SimSiam") & fewshot["delta"].notna()
    several = fewshot.copy()
    several.loc[mine, "note"] = "The effect's interval redraws seeds, draws, objects."
    frame = claims({"twoclass_fewshot": several})
    assert one(frame, SIGN.format("SimSiam")).verdict == "holds"
    assert one(frame, SIGN.format("MoCo")).verdict == "contradicted for this pair"


def test_signs_tested_together_are_corrected(fewshot):
    """p of about 0.03 stands alone, and not beside a second test."""

    def judged(methods):
        frame = fewshot.copy()
        deltas = frame["delta"].notna()
        frame.loc[deltas, ["delta", "delta_ci_low", "delta_ci_high"]] = [2.2, 0.2, 4.2]
        kept = frame["method"].isin(methods)
        return claims({"twoclass_fewshot": frame[kept]})

    alone = one(judged(["SimSiam"]), SIGN.format("SimSiam"))
    assert alone.p_holm == pytest.approx(p_value(2.2, 0.2, 4.2)) and 0.025 < alone.p_holm < 0.05
    assert alone.verdict == "holds for this pair"
    together = judged(["SimSiam", "Sup"])
    for method in ("SimSiam", "Sup"):
        found = one(together, SIGN.format(method))
        assert found.p_holm == pytest.approx(2 * alone.p_holm) and found.verdict == "undecided"
        assert found.ci_low > 0  # by its own interval alone it would have held


def test_take_aways_by_hand(fewshot):
    frame = claims({"twoclass_fewshot": fewshot})
    ssl = one(frame, "ssl")  # SimSiam and MoCo cancel in every object
    assert ssl.effect == pytest.approx(0.0, abs=1e-9) and ssl.n == 3
    sup = one(frame, "sup")
    assert sup.effect == pytest.approx(1.0) and sup.verdict == "undecided" and sup.resampled == "objects"
    wins = one(frame, "sup_wins_twoclass_fewshot_classification")
    # With both rows: SimSiam gains half of 2, 3, 4; Sup half of 2, -2, 3; the best SSL method is SimSiam.
    assert "SimSiam" in wins.statement
    assert wins.effect == pytest.approx((0 - 2.5 - 0.5) / 3)
    assert one(frame, "moco_wins_fewshot_segmentation").verdict == "no results"


def test_the_poster_supports_its_own_ablation():
    frame = claims({})
    assert (frame["verdict"] == "no results").all()
    # Means over VisA and MVTec-AD, two tasks, two metrics, from the printed table.
    eta = (2.3 + 1.9 + 0.7 - 0.3 + 0.8 + 3.1 + 1.9 + 0.3) / 8
    assert one(frame, "spd_eta0.5").published == pytest.approx(eta)
    wide = (1.6 + 2.7 + 0.6 + 0.1 + 0.4 + 0.7 + 1.2 + 0.6) / 8
    assert one(frame, "wide").published == pytest.approx(wide)
    assert one(frame, "xent_harms").published > 5


def test_every_published_sign_is_claimed():
    frame = claims({})
    signs = frame[frame["kind"] == "sign"]
    assert len(signs) == 42 and signs["claim"].is_unique and tuple(frame.columns) == COLUMNS


def test_the_larger_backbone_is_told_by_what_it_does_not_vary(cells, cell_content, options):
    values = {
        ("narrow", "none"): 0.5, ("narrow", "spd"): 0.6, ("narrow", "spd_eta0.5"): 0.55,
        ("wide", "none"): 0.7, ("wide", "spd"): 0.72,
    }  # fmt: skip
    contents = [
        cell_content(f"{b}_{s}", label="SimSiam", spd=s, backbone=b, classification={"x": {"AU-PR": v}})
        for (b, s), v in values.items()
    ]
    ablation = tidy(cells(*contents), "ablation", options(rows=[f"{b}_{s}" for b, s in values]))
    frame = claims({"ablation": ablation})
    assert one(frame, "wide").effect == pytest.approx(2.0)
    assert one(frame, "spd_eta0.5").effect == pytest.approx(5.0)
    without_eta = ablation[ablation["spd"] != "spd_eta0.5"]
    assert one(claims({"ablation": without_eta}), "wide").verdict == "no results"


def test_tables_read_back_from_csv_say_the_same(fewshot, tmp_path):
    fewshot.to_csv(tmp_path / "t.csv", index=False)
    again = claims({"twoclass_fewshot": pd.read_csv(tmp_path / "t.csv")})
    pd.testing.assert_frame_equal(again, claims({"twoclass_fewshot": fewshot}))


def test_the_same_tables_give_the_same_bytes(fewshot, tmp_path):
    for folder in ("one", "again"):
        write_claims({"twoclass_fewshot": fewshot}, tmp_path / folder, preset="paper")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_sign_says_what_its_interval_redraws(fewshot):
    assert one(claims({"twoclass_fewshot": fewshot}), SIGN.format("SimSiam")).resampled == "draws, objects"


def test_files(fewshot, tmp_path):
    paths = write_claims({"twoclass_fewshot": fewshot}, tmp_path, preset="demo")
    assert {p.name for p in paths} == {f"claims.{s}" for s in ("csv", "md", "tex", "html")}
    text = (tmp_path / "claims.md").read_text()
    assert "Not a result" in text and "Generated" not in text and "For this pair" in text
    # Three signs have results; of the take-aways those with the results of both sides.
    assert "Tested together: 3 signs and " in text
    write_claims({"twoclass_fewshot": fewshot}, tmp_path, preset="demo", generated=["VisA"])
    assert "Not a result. Generated images, a" in (tmp_path / "claims.md").read_text()
    assert pd.read_csv(tmp_path / "claims.csv")["published"].isna().all()
    write_claims({"twoclass_fewshot": fewshot}, tmp_path, preset="paper")
    text = (tmp_path / "claims.md").read_text()
    assert "| +4.2 | holds for this pair | +3.0 |" in text
