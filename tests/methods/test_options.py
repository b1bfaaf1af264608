import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from spd.config.model import ConfigError, load
from spd.methods.options import SPDOptions, digest, parse_recipe

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"method": "simsiam", "queue": 8}, "queue"),
        ({"method": "byol"}, "method"),
        ({"method": "moco", "batch": 256, "queue": 1000}, "queue: 1000 is no multiple"),
        ({"method": "moco", "batch": 48, "queue": 96}, "batch_norm_group"),
        ({"method": "simclr", "lr": 0}, "lr"),
        ({"method": "supervised", "held_out": 1.5}, "held_out: 1.5 is neither"),
        ({"method": "simsiam", "views": {"anchor": "image"}}, "set anchor: image under `spd`"),
        ({"method": "simsiam", "views": {"local": {"kind": "cutpaste"}}}, "set local: cutpaste under `spd`"),
        ({"method": "moco", "views": {"weak_draws": "shared"}}, "set weak_draws: shared under `spd`"),
    ],
)
def test_bad_recipes_are_named(values, named):
    with pytest.raises(ValidationError, match=named):
        parse_recipe(values)


def test_defaults_are_the_repositories_commands():
    simsiam, moco, simclr, supervised = (
        parse_recipe({"method": m}) for m in ("simsiam", "moco", "simclr", "supervised")
    )
    assert (simsiam.batch, simsiam.lr, simsiam.weight_decay) == (512, 0.05, 1e-4)
    assert simsiam.zero_init_residual
    assert (moco.batch, moco.lr, moco.lr_scaling, moco.queue, moco.temperature) == (
        256,
        0.03,
        "none",
        65536,
        0.2,
    )
    assert (simclr.batch, simclr.optimiser, simclr.lr, simclr.weight_decay) == (4096, "lars", 0.3, 1e-6)
    assert (supervised.batch, supervised.lr, supervised.epochs, supervised.schedule) == (256, 0.1, 90, "step")
    assert simclr.views.strong.interpolation == "bicubic"
    assert simclr.views.strong.jitter.brightness == 0.8
    assert simsiam.views.strong.scale == moco.views.strong.scale == (0.2, 1.0)
    assert supervised.views.strong.grayscale == supervised.views.strong.jitter.p == 0


def test_config_yaml_states_the_repositories_commands_in_full():
    paper = load(CONFIG, {"preset": "paper"})
    written = yaml.safe_load(CONFIG.read_text())["recipes"]
    for method, recipe in paper.recipes.items():
        assert recipe == parse_recipe({"method": method, "precision": "bfloat16", "held_out": 10_000})
        assert {"batch", "epochs", "optimiser", "momentum", "weight_decay", "lr", "lr_scaling", "schedule",
                "schedule_by", "batch_norm"} <= written[method].keys()  # fmt: skip
    assert paper.recipes["simclr"].warmup_epochs == 10 and paper.recipes["simclr"].epochs == 100


def test_spd_chooses_anchor_and_local_change_and_nothing_else_of_the_views():
    recipe = parse_recipe({"method": "simclr", "views": {"local": {"area": [0.01, 0.02]}}})
    views = SPDOptions(anchor="image", local="cutpaste").views(recipe.views)
    assert (views.anchor, views.local.kind, views.local.area) == ("image", "cutpaste", (0.01, 0.02))
    assert (views.strong, views.weak) == (recipe.views.strong, recipe.views.weak)
    assert SPDOptions().views(recipe.views) == recipe.views
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe  # spelt-out defaults are no choice


STRENGTHS = {
    "weak": {"blur": {"sigma": [0.1, 0.3]}, "jitter": {"hue": 0.05, "p": 0.8}},
    "local": {"area": [0.005, 0.01]},
}


def test_a_variants_strengths_replace_the_recipes_key_by_key():
    recipe = parse_recipe(
        {"method": "simsiam", "views": {"strong": {"size": 40}, "weak": {"size": 40, "flip": 0.25}}}
    )
    spd = SPDOptions(strengths=STRENGTHS)
    views = spd.views(recipe.views)
    weak = recipe.views.weak
    assert views.weak == weak.model_copy(
        update={
            "blur": weak.blur.model_copy(update={"sigma": (0.1, 0.3)}),
            "jitter": weak.jitter.model_copy(update={"hue": 0.05, "p": 0.8}),
        }
    )
    assert (views.weak.size, views.weak.flip) == (40, 0.25)
    assert views.local == recipe.views.local.model_copy(update={"area": (0.005, 0.01)})
    assert views.strong == recipe.views.strong
    # What a rule hands to its job says as much, and no more.
    dumped = spd.model_dump(mode="json")
    assert dumped["strengths"] == STRENGTHS and SPDOptions(**dumped).views(recipe.views) == views
    assert digest(spd) != digest(SPDOptions())


@pytest.mark.parametrize(
    ("variant", "says"),
    [
        ({"strengths": {"weak": {"size": 40}}}, "weak.size: the size of the views is their recipe's"),
        ({"strengths": {"local": {"kind": "cutpaste"}}}, "set `local: cutpaste` beside `strengths`"),
        ({"local": "cutpaste", "strengths": {"local": {"sigma": [0.1, 0.2]}}}, "sigma would do nothing"),
        ({"strengths": {"weak": {"scal": [0.1, 0.2]}}}, "weak.scal: unknown key .did you mean 'scale'"),
        ({"strengths": {"strong": {}}}, "strengths.strong: unknown key"),
        ({"strengths": {"local": {"area": [0.2, 0.1]}}}, "the lower bound 0.2 lies above"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(variant, says):
    with pytest.raises(ConfigError, match=says):
        load(CONFIG, {"spd": {"mine": variant}})


def test_the_two_optional_variants_and_their_rows():
    paper = load(CONFIG, {"preset": "paper"})
    simsiam = paper.recipes["simsiam"].views
    large = paper.spd["spd_cutpaste_standard"].views(simsiam)
    assert (large.local.kind, large.local.area, large.weak) == ("cutpaste", (0.02, 0.15), simsiam.weak)
    other = paper.spd["spd_secondary"].views(simsiam)
    assert (other.local.kind, other.local.area, other.anchor) == ("smoothblend", (0.005, 0.01), "image")
    assert (other.weak.blur.sigma, other.weak.jitter.hue, other.weak.jitter.p) == ((0.1, 0.3), 0.05, 0.8)
    # 8 pixels at 224, of the largest patch and of the smallest
    pixels = [share * 224 * area**0.5 for share, area in zip(other.local.sigma, (0.01, 0.005), strict=True)]
    assert pixels == pytest.approx([8, 8], abs=0.1)
    read = {row for table in paper.tables.values() for row in table.rows}
    page = (CONFIG.parent / "docs/methods/spd.md").read_text()
    mine = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    ablation = load(CONFIG, {"preset": "paper", **mine}).tables["ablation"]
    assert set(paper.tables["ablation"].rows) < set(ablation.rows)
    for name in ("cutpaste_standard", "secondary"):
        (row,) = [row for row, of in paper.pretrainings.items() if of.spd == f"spd_{name}"]
        assert row not in read and row in ablation.rows  # trained where a table asks for it


def test_simclrs_loss_is_its_own():
    assert parse_recipe({"method": "simclr"}).loss == "ntxent"
    assert load(CONFIG).recipes["simclr"].loss == "ntxent"


def test_digest_tells_recipes_apart_and_is_stable():
    a = parse_recipe({"method": "simsiam"})
    assert digest(a) == digest(parse_recipe({"method": "simsiam", "batch": 512}))
    assert digest(a) != digest(parse_recipe({"method": "simsiam", "batch": 256}))
    assert digest(SPDOptions()) != digest(SPDOptions(eta=0.5))


def test_options_import_no_torch():
    code = "import sys, spd.methods.options; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
