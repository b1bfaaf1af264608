import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spd import config
from spd.config import ConfigError, load, merge

CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"


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
        ({"recipes": {"simsiam": {"bach": 1}}}, ["recipes.simsiam", "bach", "did you mean 'batch'"]),
        ({"pretrainings": {"simsiam": {"spd": "sdp"}}}, ["pretrainings.simsiam.spd", "did you mean 'spd'"]),
        ({"pretrainings": {"x": {"label": "X"}}}, ["pretrainings.x", "recipe", "source"]),
        ({"pretrainings": {"../x": {"label": "X"}}}, ["pretrainings", "../x"]),
        ({"tables": {"padim_1class": {"rows": ["simsian"]}}}, ["tables.padim_1class.rows", "'simsiam'"]),
        ({"tables": {"padim_1class": {"profiles": ["papre"]}}}, ["padim_1class.profiles", "papre"]),
        ({"datasets": {"visa": {"reader": "vsa"}}}, ["datasets.visa.reader", "did you mean 'visa'"]),
        ({"preset": "demp"}, ["preset", "demp", "did you mean 'demo'"]),
        ({"seeds": "[0,1]"}, ["seeds", "unknown key"]),
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


def test_an_overlay_may_bring_a_preset_of_its_own():
    overlay = {"preset": "mine", "presets": {"mine": {"extends": "tiny", "compute": {"threads": 2}}}}
    mine = load(CONFIG, overlay)
    assert mine.preset == "mine"
    assert mine.compute.threads == 2
    assert mine.corpus == load(CONFIG, {"preset": "tiny"}).corpus


@pytest.mark.parametrize(
    "presets", [{"a": {"extends": "b"}, "b": {"extends": "a"}}, {"a": {"extends": "nothing"}}]
)
def test_presets_that_go_in_circles_are_refused(presets):
    with pytest.raises(ConfigError, match="circle"):
        load(CONFIG, {"preset": "a", "presets": presets})


def test_init_that_goes_in_circles_is_refused():
    rows = {name: {"init": start} for name, start in (("sup", "moco"), ("moco", "sup"))}
    with pytest.raises(ConfigError, match="init goes in a circle"):
        load(CONFIG, {"pretrainings": rows})


def test_values_that_the_paper_leaves_open_are_marked():
    """What spd.md calls open has a key in the file, and its line says `ours`."""
    lines = CONFIG.read_text().splitlines()
    for key in ("weak: &weak", "local: &local", "precision:", "paper: {geometry", "size: 256"):
        (line, *_) = [line for line in lines if key in line]
        assert "ours" in line, line


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
