import json
import math
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spd.config import model as config
from spd.config.model import Config, ConfigError, load, merge
from spd.detectors.registry import DETECTORS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config.yaml"


@pytest.mark.parametrize("preset", ["paper", "demo", "tiny"])
def test_every_preset_is_valid(preset):
    assert load(CONFIG, {"preset": preset}).preset == preset


def keys(content, at=()):
    """Every dotted path of a nested mapping."""
    for key, value in content.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from keys(value, (*at, key))


def test_schema_knows_every_key_of_config_yaml():
    """Independent of pydantic: walks the generated JSON Schema along each key that the file uses."""
    schema = config.json_schema()

    def resolve(node):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return node

    def children(node, key):
        node = resolve(node)
        for branch in node.get("anyOf", []) + node.get("oneOf", []) + [node]:
            branch = resolve(branch)
            if key in branch.get("properties", {}):
                yield branch["properties"][key]
            elif isinstance(branch.get("additionalProperties"), dict):
                yield branch["additionalProperties"]
            elif isinstance(branch.get("patternProperties"), dict):
                yield from branch["patternProperties"].values()

    def known(path, nodes):
        for key in path:
            nodes = [child for node in nodes for child in children(node, key)]
        return bool(nodes)

    content = config.read_yaml(CONFIG)
    presets = content.pop("presets")
    for layer in (content, *presets.values()):
        for path in keys({k: v for k, v in layer.items() if k != "extends"}):
            assert known(path, [schema]), f"{'.'.join(map(str, path))} is in config.yaml, not in the schema"


def test_every_field_of_the_schema_is_documented():
    undocumented = [
        f"{name}.{field}"
        for name, definition in config.json_schema()["$defs"].items()
        for field, node in definition.get("properties", {}).items()
        if not node.get("description") and "$ref" not in node
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"datset": {}}, ["datset", "unknown key", "did you mean 'datasets'"]),
        ({"compute": {"thread": 2}}, ["compute.thread", "did you mean 'threads'", "allowed:", "device"]),
        ({"compute": {"threads": "many"}}, ["compute.threads", "integer", '"many"']),
        ({"compute": {"threads": 0}}, ["compute.threads", "greater than or equal to 1"]),
        (
            {"compute": {"device": "gpu"}},
            ["compute.device", "'gpu' is not allowed", "'auto', 'cpu' or 'cuda'"],
        ),
        ({"spd": {"spd": {"eta": -0.1}}}, ["spd.spd.eta", "greater than or equal to 0"]),
        ({"spd": {"spd": {"etta": 0.1}}}, ["spd.spd.etta", "did you mean 'eta'"]),
        (
            {"detectors": {"padim": {"paper": {"options": {"dimension": 100}}}}},
            ["detectors.padim.paper.options.dimension: unknown key (did you mean 'dim'?)"],
        ),
        ({"recipes": {"simsiam": {"learning_rate": 1}}}, ["learning_rate: unknown key (did you mean 'lr'?)"]),
        ({"recipes": {"simsiam": {"batch_size": 1}}}, ["batch_size: unknown key (did you mean 'batch'?)"]),
        ({"recipes": {"moco": {"accumulate": 4}}}, ["recipes.moco.accumulate: there is no such", "torchrun"]),
        (
            {"recipes": {"moco": {"views": {"weak": {"jitter": {"order": "fixed"}}}}}},
            ["recipes.moco.views.weak.jitter.order: there is no such key any more; the order"],
        ),
        (
            {"detectors": {"padim": {"paper": {"options": {"extra_epsilon": 0.1}}}}},
            ["options.extra_epsilon: there is no such key any more; add it to `epsilon`"],
        ),
        (
            {"tables": {"ablation": {"kind": "plain"}}},
            ["tables.ablation.kind: there is", "`label_columns: ["],
        ),
        ({"recipes": {"simsiam": {"bach": 1}}}, ["recipes.simsiam", "bach", "did you mean 'batch'"]),
        ({"pretrainings": {"simsiam": {"spd": "sdp"}}}, ["pretrainings.simsiam.spd", "did you mean 'spd'"]),
        ({"pretrainings": {"x": {"label": "X"}}}, ["pretrainings.x", "recipe", "source"]),
        (
            {"pretrainings": {"../x": {"label": "X"}}},
            ["pretrainings.../x", "allowed: letters, digits, `_` and `.`"],
        ),
        ({"spd": {"a-b": {"eta": 1}}}, ["spd.a-b: 'a-b' is not allowed", "allowed: letters, digits, `_`"]),
        ({"datasets": {"visa": {"name": "a/b"}}}, ["datasets.visa.name", "'a/b'", "`.` and `-`"]),
        ({"datasets": {"visa": {"archive": {"sha256": "00"}}}}, ["archive.sha256", "64 hexadecimal digits"]),
        ({"tables": {"padim_1class": {"rows": ["simsian"]}}}, ["tables.padim_1class.rows", "'simsiam'"]),
        ({"tables": {"padim_1class": {"rows": ["simsiam_wid_spd"]}}}, ["did you mean 'simsiam_wide_spd'"]),
        ({"tables": {"padim_1class": {"profiles": ["papre"]}}}, ["padim_1class.profiles", "papre"]),
        ({"datasets": {"visa": {"reader": "vsa"}}}, ["datasets.visa.reader", "did you mean 'visa'"]),
        ({"preset": "demp"}, ["preset", "demp", "did you mean 'demo'", "allowed: demo, paper, tiny"]),
        ({"preset": [1]}, ["preset: no preset named [1]", "allowed: demo, paper, tiny"]),
        ({"presets": {"x": 3}}, ["presets: each preset must be a mapping"]),
        ({"presets": {"x": {"extends": "tinny"}}}, ["presets.x.extends", "did you mean 'tiny'", "allowed:"]),
        ({"seeds": "[0,1]"}, ["seeds", "unknown key"]),
        (
            {"datasets": {"mvtec": {"objects": [1]}}},
            ["datasets.mvtec.objects.0: quote it", "a number", "'01'"],
        ),
        ({"datasets": {"mvtec": {"name": True}}}, ["datasets.mvtec.name: quote it", "true or false"]),
        ({"datasets": 3}, ["datasets", "valid dictionary", "given: 3"]),
        ({"tables": [1]}, ["tables", "valid dictionary"]),
        (
            {"corpus": {"dataset": "visa"}},
            ["'visa' has the reader visa", "allowed: imagenet"],
        ),
        ({"corpus": {"dataset": "imgenet"}}, ["corpus.dataset: no data set named 'imgenet'", "'imagenet'"]),
        ({"datasets": {"elpv": {"name": "VisA-demo"}}}, ["visa and elpv have the same `name` 'VisA-demo'"]),
        ({"pretrainings": {"moco": {"seeds": [0, 1, 0]}}}, ["pretrainings.moco.seeds: 0 given twice"]),
        ({"tables": {"custom": {"rows": ["lite0", "lite0"]}}}, ["tables.custom.rows: lite0 given twice"]),
        ({"pretrainings": {"moco": {"backbone": "resnet5"}}}, ["moco.backbone", "'resnet50'", "allowed:"]),
        (
            {"pretrainings": {"moco": {"init": "so"}}},
            ["moco.init: no pre-training named 'so'", "allowed:"],
        ),
        (
            {"tables": {"custom": {"datasets": ["elp"]}}},
            ["tables.custom.datasets: no data set named 'elp' (did you mean 'elpv'?); allowed: visa, mvtec"],
        ),
        (
            {"detectors": {"padim": {"demo": {"geometry": "demo12"}}}},
            ["detectors.padim.demo.geometry: no geometry named 'demo12' (did you mean 'demo128'?)"],
        ),
        (
            {"detectors": {"padin": {"demo": {"geometry": "demo128"}}}},
            ["detectors.padin.demo.detector: no detector named 'padin' (did you mean 'padim'?); there are"],
        ),
        (
            {"detectors": {"mine": {"demo": {"detector": "mine.knn:KNN", "geometry": "demo128"}}}},
            ["detectors.mine.demo.detector: mine.knn:KNN: ", "No module named 'mine'", "there are padim"],
        ),
        (
            {"recipes": {"mine": {"method": "mine.byol:BYOL"}}},
            ["recipes.mine.method: mine.byol:BYOL: ", "No module named 'mine'", "there are simsiam, moco"],
        ),
        (
            {"detectors": {"mine": {"demo": {"detector": "padim", "geometry": "demo128"}}}},
            ["padim and mine are both called PaDiM", "put all profiles of a detector under one name"],
        ),
        (
            {"detectors": {"padim": {"mine": {"detector": "patchcore", "geometry": "demo128"}}}},
            ["detectors.padim: ", "are of padim and patchcore; give each a name of its own"],
        ),
        (
            {"tables": {"custom": {"detector": "unet"}}},
            ["tables.custom: unet is no detector of setup 1cls"],
        ),
        (
            {"tables": {"custom": {"setup": "2cls_fewshot", "detector": None}}},
            ["tables.custom.setup: no setup of elpv named '2cls_fewshot'", "allowed: 1cls"],
        ),
        (
            {"compute": {"trainings": {"simsian": {"gpus": 2}}}},
            [
                "compute.trainings: no pre-training that is trained here named 'simsian'",
                "(did you mean 'simsiam'?)",
                "allowed: sup, ",
            ],
        ),
        (
            {"compute": {"trainings": {"lite0": {"gpus": 2}}}},
            ["compute.trainings: no pre-training that is trained here named 'lite0'"],
        ),
        (
            {"compute": {"trainings": {"simsiam": {"gpu": 2}}}},
            ["compute.trainings.simsiam.gpu: unknown key (did you mean 'gpus'?); allowed: gpus, nodes"],
        ),
        (
            {"compute": {"trainings": {"simsiam": {"gpus": 0}}}},
            ["compute.trainings.simsiam.gpus", "greater than or equal to 1"],
        ),
    ],
)
def test_errors_name_the_key_the_allowed_values_and_the_nearest(overrides, says):
    with pytest.raises(ConfigError) as caught:
        load(CONFIG, overrides)
    for words in says:
        assert words in str(caught.value)
    assert "Traceback" not in str(caught.value) and "errors.pydantic.dev" not in str(caught.value)


def test_overrides_win_over_the_preset_which_wins_over_the_file():
    assert load(CONFIG, {"preset": "paper"}).recipes["simsiam"].batch == 512
    assert load(CONFIG, {"preset": "demo"}).recipes["simsiam"].batch == 64
    mine = {"preset": "demo", "recipes": {"simsiam": {"batch": 32}}}
    assert load(CONFIG, mine).recipes["simsiam"].batch == 32
    assert load(CONFIG, mine).recipes["simsiam"].momentum == 0.9


def test_a_training_has_its_own_gpus_and_nodes_or_those_of_all():
    own = {"simclr": {"gpus": 8}, "simclr_spd": {"nodes": 3}, "moco": {"gpus": 1, "nodes": 1}}
    mine = load(CONFIG, {"preset": "tiny", "compute": {"gpus": 4, "nodes": 2, "trainings": own}}).compute
    found = {name: mine.of(name) for name in ("simclr", "simclr_spd", "moco", "sup")}
    assert found == {"simclr": (8, 2), "simclr_spd": (4, 3), "moco": (1, 1), "sup": (4, 2)}


@pytest.mark.parametrize("preset", ["demo", "tiny"])
def test_a_cpus_presets_take_no_gpus_from_paper(preset):
    compute = load(CONFIG, {"preset": preset}).compute
    assert (compute.gpus, compute.trainings) == (0, {})


def test_without_gpus_no_training_of_paper_takes_one():
    mine = load(CONFIG, {"preset": "paper", "compute": {"gpus": 0}})
    assert {mine.compute.of(name) for name in mine.pretrainings} == {(0, 1)}


def test_papers_batches_divide_among_their_gpus_and_fill_their_groups():
    paper = load(CONFIG, {"preset": "paper"})
    for name, row in paper.pretrainings.items():
        if row.recipe is not None:
            recipe, ranks = paper.recipes[row.recipe], math.prod(paper.compute.of(name))
            assert recipe.batch % ranks == 0, name
            if recipe.batch_norm == "ghost":
                assert recipe.batch // ranks % recipe.batch_norm_group == 0, name


def test_an_overlay_may_bring_a_preset_of_its_own():
    overlay = {"preset": "mine", "presets": {"mine": {"extends": "tiny", "compute": {"threads": 2}}}}
    mine = load(CONFIG, overlay)
    assert mine.preset == "mine"
    assert mine.compute.threads == 2
    assert mine.corpus == load(CONFIG, {"preset": "tiny"}).corpus


def test_presets_that_go_in_circles_are_refused():
    presets = {"a": {"extends": "b"}, "b": {"extends": "a"}}
    with pytest.raises(ConfigError, match=r"presets\.b\.extends: goes in a circle: a -> b -> a"):
        load(CONFIG, {"preset": "a", "presets": presets})


def test_init_that_goes_in_circles_is_refused():
    rows = {name: {"init": start} for name, start in (("sup", "moco"), ("moco", "sup"))}
    with pytest.raises(ConfigError, match=r"init: goes in a circle: sup -> moco -> sup"):
        load(CONFIG, {"pretrainings": rows})


def test_all_problems_are_listed_at_once():
    wrong = {
        "compute": {"threads": 0, "thread": 1},
        "pretrainings": {"simsiam": {"spd": "sdp", "backbone": "resnet5"}},
        "tables": {"padim_1class": {"rows": ["simsian", "mocco"], "profiles": ["dem"]}},
    }
    with pytest.raises(ConfigError) as caught:
        load(CONFIG, wrong)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7 and all(line.startswith("config: ") for line in lines)
    for key in (
        "compute.threads",
        "compute.thread:",
        "simsiam.spd",
        "simsiam.backbone",
        "padim_1class.profiles",
    ):
        assert any(key in line for line in lines), key


RULES = re.findall(
    r"^\s*(?:rule|checkpoint)\s+(\w+):",
    "\n".join(path.read_text() for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]),
    re.MULTILINE,
)


@pytest.mark.parametrize("name", sorted({*RULES, "verify", "plan", "mlflow", "preflight", "mechanism"}))
def test_a_table_may_not_take_the_name_of_a_rule_or_target(name):
    table = {"title": "T", "detector": "padim", "profiles": ["demo"], "datasets": ["visa"], "rows": ["moco"]}
    assert len(RULES) > 10
    with pytest.raises(ConfigError, match=f"tables.{name}: this name is taken"):
        load(CONFIG, {"tables": {name: table}})
    load(CONFIG, {"tables": {"mine": table}})


def test_a_mistake_in_a_preset_that_was_not_chosen_is_found(tmp_path):
    text = CONFIG.read_text()
    assert "    corpus: {size: 32}\n" in text
    (tmp_path / "config.yaml").write_text(text.replace("corpus: {size: 32}", "corpus: {sise: 32}"))
    with pytest.raises(ConfigError, match=r"in preset tiny: corpus\.sise: unknown key \(did you mean 'size'"):
        load(tmp_path / "config.yaml", {"preset": "paper"})


def test_what_is_given_for_one_preset_need_not_fit_the_others():
    # tiny has no data set elpv; a preset may count on keys that are given on top.
    load(CONFIG, {"preset": "demo", "datasets": {"elpv": {"seed": 3}}})
    mine = {"name": "Mine", "reader": "mvtec", "root": "photographs"}
    two = {name: {"extends": "tiny", "tables": {"custom": {"datasets": ["mine"]}}} for name in ("one", "two")}
    load(CONFIG, {"preset": "one", "presets": two, "datasets": {"mine": mine}})
    load(CONFIG, {"preset": "demo", "presets": two, "datasets": {"mine": mine}})


STRUCTURAL = [
    {"compute": {"thread": 2}},
    {"compute": {"threads": "many"}},
    {"compute": {"threads": 0}},
    {"compute": {"device": "gpu"}},
    {"spd": {"spd": {"eta": -0.1}}},
    {"spd": {"a-b": {"eta": 1}}},
    {"recipes": {"simsiam": {"bach": 1}}},
    {"tables": {"padim_1class": {"title": ""}}},
    {"datasets": {"visa": {"archive": {"sha256": "00"}}}},
    {"datsets": {}},
]


def test_the_json_schema_agrees_with_the_model():
    """jsonschema, which knows nothing of pydantic, takes and refuses the same configurations."""
    validator = jsonschema.Draft202012Validator(config.json_schema())
    validator.check_schema(validator.schema)

    def plain(content):
        return json.loads(json.dumps(content, default=list))

    content = config.read_yaml(CONFIG)
    presets = content.pop("presets")
    for preset, chain in {"paper": ["paper"], "demo": ["demo"], "tiny": ["demo", "tiny"]}.items():
        layers = [{k: v for k, v in presets[name].items() if k != "extends"} for name in chain]
        whole = reduce(merge, [content, *layers, {"preset": preset}])
        filled = load(CONFIG, {"preset": preset}).model_dump(mode="json")
        for written in (whole, filled):
            assert list(validator.iter_errors(plain(written))) == []
        for wrong in STRUCTURAL:
            changed = config.merge(whole, wrong)
            assert config.problems(changed), wrong
            assert not validator.is_valid(plain(changed)), wrong


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("treads=3", "config: treads: unknown key"),
        ("compute={threads: many}", "config: compute.threads: Input should be a valid integer"),
        ("spd={spd: {eta: -1}}", "config: spd.spd.eta: Input should be greater than or equal to 0"),
        ("tables={custom: {rows: [simsian]}}", "no pre-training named 'simsian' (did you mean 'simsiam'?)"),
    ],
)
def test_snakemake_stops_at_once_without_a_traceback(tmp_path, given, says):
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path]
    command += ["--cores", "1", "--config", given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    output = done.stdout + done.stderr
    assert done.returncode != 0 and says in output
    assert "Traceback" not in output and "errors.pydantic.dev" not in output
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("detector", DETECTORS)
def test_profiles_are_those_that_the_library_names(detector):
    entry, paper = DETECTORS[detector], load(CONFIG, {"preset": "paper"})
    given = config.read_yaml(CONFIG)["detectors"][detector]
    assert set(given) == set(entry.profiles)
    for name, changes in entry.profiles.items():
        assert paper.detectors[detector][name].options == entry.options(**changes), name
        # Spelt out: no number hangs on a default of the library's that the file does not show.
        assert set(given[name]["options"]) >= set(changes)
        assert len(given[name]["options"]) >= 7, name


def keys_and_lines():
    """Each key of the full-size experiment (all but `presets`) with its line, also through aliases."""
    text = CONFIG.read_text()
    lines = text.splitlines()

    def walk(node, at, over):
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = lines[key.start_mark.line]
                if isinstance(value, yaml.MappingNode) and value.flow_style:
                    # of an alias: where its anchor is
                    here += "".join(lines[value.start_mark.line : value.end_mark.line + 1])
                yield (*at, key.value), [*over, here]
                yield from walk(value, (*at, key.value), [*over, here])

    root = yaml.compose(text)
    content = yaml.MappingNode(root.tag, [pair for pair in root.value if pair[0].value != "presets"])
    return dict(walk(content, (), []))


def marked(lines):
    """Whether a key's own lines, or those of a key around it below the section's, have a comment with
    `ours`."""
    around = lines[1:] or lines
    return any(re.search(r"#.*\bours\b", line) for line in around)


SILENT = [  # what the publications do not state
    "recipes",  # optimisers, epochs, batches
    *("recipes.simsiam.views.local.area", "recipes.simsiam.views.local.aspect"),
    *("recipes.simsiam.views.local.sigma", "recipes.simsiam.views.local.jitter"),
    *("recipes.simsiam.views.local.foreground", "recipes.moco.views.weak", "recipes.supervised.views.local"),
    *("spd.spd.anchor", "spd.spd.stop_gradient", "spd.spd.moco_encoder"),
    *("detectors.padim.paper.options.dim", "detectors.padim.paper.geometry", "detectors.padim.full.geometry"),
    *("detectors.patchcore.paper.geometry", "detectors.patchcore.paper.options.coreset_share"),
    *("corpus.size", "recipes.simsiam.precision", "features.precision"),
]


@pytest.mark.parametrize("path", SILENT)
def test_values_on_which_the_paper_is_silent_are_marked(path):
    assert marked(keys_and_lines()[tuple(path.split("."))]), f"{path} lacks `# ours`"


def test_every_field_that_says_ours_is_marked_where_config_yaml_sets_it():
    wrong, seen = [], 0
    for path, lines in keys_and_lines().items():
        model, field = Config, None
        for key in path:
            models = list(config._models(model))
            owner = next((m for m in models if key in m.model_fields), None)
            field = owner.model_fields[key] if owner else None
            model = field.annotation if field else config._value_type(model)
        if field is not None and re.search(r"\bours\b", field.description or "", re.IGNORECASE):
            seen += 1
            wrong += [] if marked(lines) else [".".join(path)]
    assert seen >= 8 and wrong == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "'a' is given twice, line 2"),
        ("a: [1\n", "is not YAML"),
        ("- 1\n", "must be a mapping"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    ],
)
def test_files_that_are_no_config_are_refused(tmp_path, text, says):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "absent.yaml")


def test_exponents_without_a_point_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-4\nb: 2E3\nc: 1e-4x\n")
    assert config.read_yaml(path) == {"a": 1e-4, "b": 2000.0, "c": "1e-4x"}


tree = st.recursive(
    st.integers(),
    lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=8,
)
mapping = st.dictionaries(st.sampled_from("abc"), tree, max_size=3)


@given(mapping, mapping)
def test_merge_keeps_what_is_not_overridden_and_takes_what_is(base, over):
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key in merged:
        if key not in over:
            assert merged[key] == base[key]
        elif not isinstance(over[key], dict):
            assert merged[key] == over[key]
    assert merge(merged, over) == merged


def test_merge_null_removes_a_key():
    assert merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 3}}


def test_model_survives_json():
    demo = load(CONFIG, {"preset": "demo"})
    assert config.validate(json.loads(json.dumps(demo.model_dump(mode="json")))) == demo


def test_config_yaml_is_plain_yaml():
    assert yaml.safe_load(CONFIG.read_text())["preset"] == "demo"
