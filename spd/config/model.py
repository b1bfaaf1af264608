"""The whole experiment as one typed model: config.yaml, a preset, and the user's own overrides.

`load` merges three layers - the file, `presets.<preset>` (with what it `extends`), then overrides - and
validates the result before any job runs. The model is also the JSON Schema (`json_schema`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from spd.backbones.options import BackboneOptions
from spd.config.references import nearest, unknown, wrong_references
from spd.data.demo_options import DemoOptions
from spd.data.geometry_options import GeometryOptions
from spd.data.options import ArchiveOptions, DatasetOptions
from spd.detectors.finetuned.options import ClassifierOptions, FewShotOptions, UNetOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.registry import DETECTORS, TWO_CLASS
from spd.features.options import FeatureOptions
from spd.linear_protocol.options import LinearProtocols
from spd.methods.options import METHODS, AnyRecipe, Recipe, SPDOptions, active, conflict
from spd.options import Options
from spd.registry import Entry, Registry
from spd.report.options import TableOptions

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$")]
"""A name that becomes a folder: letters, digits, `_` and `.`."""

PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.]*$": "letters, digits, `_` and `.`, beginning with a letter or a digit",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
    "^[0-9a-f]{64}$": "64 hexadecimal digits in lower case, as sha256sum prints them",
}
"""What each pattern of the model allows, in words."""

REMOVED = {
    r"recipes\..*\.accumulate": "small batches do not add up to a step of any of these methods; use several "
    "GPUs (torchrun), which share one batch exactly, or a smaller batch",
    r"\.jitter\.order": "the order of the four operations is drawn for each image",
    r"\.extra_epsilon": "add it to `epsilon`",
    r"tables\..*\.kind": "list them: `label_columns: [backbone, labels]` (default), one of the two, or []",
}
"""Ends of keys that were options once -> what takes their place."""

LISTED = 30  # problems in one message


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key, what is allowed and the way out."""


class TrainingCompute(Options):
    """GPUs of one pre-training, where they are not those of the others."""

    gpus: Annotated[int, Field(ge=1, le=64)] | None = None
    """GPUs on each node; `null`: those of `compute`."""
    nodes: Annotated[int, Field(ge=1, le=64)] | None = None
    """Nodes (Slurm only); `null`: those of `compute`."""


class ComputeOptions(Options):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is the GPU where there is one."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of one job."""
    objects_per_job: Literal["all", "one"] = "all"
    """A detector job handles `all` objects of a data set (an import of torch costs 3 s) or `one`."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of one training on each node, a rank each; locally `--resources gpu=N` limits jobs at once."""
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Nodes of one training (Slurm only)."""
    trainings: dict[Name, TrainingCompute] = Field(default_factory=dict)
    """GPUs and nodes of a pre-training by its name, before the two keys above; `gpus: 0` is none for any."""
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long before its time limit a training is told to save (Slurm only)."""
    scratch: str | None = None
    """A folder on each node's own disk, such as `$TMPDIR`; a detector job copies its features there first.
    `~` and variables are the node's."""
    keep_features: bool = True
    """Keep extracted features after the last job that reads them; they are large at full size."""
    stale_code: Literal["rerun", "warn"] = "rerun"
    """When a module of spd/ has changed: run its stages again, or leave results and let tables say so."""

    def of(self, pretraining: str) -> tuple[int, int]:
        """(GPUs on each node, nodes) of a pre-training's training."""
        own = self.trainings.get(pretraining)
        if own is None or not self.gpus:
            return self.gpus, self.nodes
        return own.gpus or self.gpus, own.nodes or self.nodes


class PlanOptions(Options):
    """The machine that the target `plan` reckons with; nothing else reads these keys."""

    gpus: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], Field(min_length=1)] = (1, 8, 64)
    """G: sizes of the cluster, in GPUs; a column each."""
    gpu: Literal["A100", "V100"] = "A100"
    """The GPU whose published throughputs are taken (docs/cost.md)."""
    gpu_gib: Annotated[float, Field(gt=0)] | None = None
    """GiB of memory of each GPU: the plan names the trainings that would not fit. A card of 80 GB has 79;
    `null`: not looked at. (ours)"""
    price: float = Field(2.0, ge=0)
    """Price of one GPU for one hour, in any currency. (ours)"""
    cpus: int = Field(128, ge=1)
    """CPU cores that all running jobs share. (ours)"""
    cpu_gflops: float = Field(30.0, gt=0)
    """10^9 operations a second that one core keeps up in a detector's products. (ours)"""
    mb_per_second: float = Field(50.0, gt=0)
    """10^6 bytes a second of a download and of a shared disk. (ours)"""
    start_seconds: float = Field(10.0, ge=0)
    """What the start of one job costs: Slurm, Snakemake, imports. (ours, docs/cluster.md)"""


class CorpusOptions(Options):
    dataset: Name
    """The class-folder data set that backbones are pre-trained on."""
    size: Annotated[int, Field(ge=8, le=1024)]
    """Side in pixels to which each image is squashed once before views are drawn."""


class Profile(Options):
    """One named way to run a detector: its geometry and its options."""

    detector: Annotated[str, AfterValidator(DETECTORS.checked)] | None = None
    """The import path of a class of your own, as `mypackage.knn:KNN` (docs/extending.md); `null`: the
    detector of the library's that the profiles stand under."""
    geometry: Name
    """A name under `geometries`."""
    options: SerializeAsAny[Options] = Field(default_factory=dict, validate_default=True)
    """The detector's own options."""

    @field_validator(
        "options",
        mode="plain",
        json_schema_input_type=PaDiMOptions | PatchCoreOptions | ClassifierOptions | UNetOptions,
    )
    @classmethod
    def _of_its_detector(cls, values: Any, info: ValidationInfo) -> Options:
        if "detector" not in info.data:
            return Options()  # what is wrong with `detector` is said there
        return DETECTORS[info.data["detector"]].options.model_validate(values)


def _named_by_its_section(detectors: Any) -> Any:
    """`detectors` with the key `detector` in each profile that does not give it."""
    if not isinstance(detectors, Mapping):
        return detectors
    return {
        name: {
            key: {"detector": name, **profile} if isinstance(profile, Mapping) else profile
            for key, profile in profiles.items()
        }
        if isinstance(profiles, Mapping)
        else profiles
        for name, profiles in detectors.items()
    }


class ArchitectureOptions(Options):
    """A network that is pre-trained here."""

    architecture: str
    """A ResNet of torchvision (`resnet50`), narrower with `_w<channels>` (`resnet18_w16`), or
    `timm:<name>`."""
    stages: Annotated[tuple[str, ...], Field(min_length=1)] = ("layer1", "layer2", "layer3")
    """Stages read by the detectors, shallow to deep."""


class OverviewOptions(Options):
    """The target dataset_overview: what was found, and what the publications state."""

    title: str
    """The heading."""
    caption: str = ""
    """One or two sentences below the heading."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Data sets, top to bottom."""


class Pretraining(Options):
    """One row of the tables: a backbone trained by us, or one from elsewhere."""

    label: str
    """The word in the tables' method column: Sup, SimSiam, MoCo, SimCLR or one of your own."""
    backbone: Name | None = None
    """A name under `backbones`; empty for a backbone from elsewhere."""
    recipe: Name | None = None
    """A name under `recipes`; empty for a backbone from elsewhere."""
    spd: Name = "none"
    """A name under `spd`."""
    labels: bool | None = None
    """Whether ImageNet labels were used (a column of the tables)."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """One backbone a seed."""
    init: Name | None = None
    """Another pre-training to start from (continued pre-training)."""
    source: BackboneOptions | None = None
    """Where a backbone from elsewhere comes from; empty for one trained by us."""

    @model_validator(mode="after")
    def _trained_or_imported(self) -> "Pretraining":
        if (self.recipe is None) == (self.source is None):
            raise ValueError("give either `recipe` (trained here) or `source` (from elsewhere)")
        if (self.recipe is None) != (self.backbone is None):
            raise ValueError(
                "`backbone` and `recipe` go together: one names the network, one how it is trained"
            )
        return self


class Config(Options):
    """A validated experiment. Field order is that of config.yaml."""

    preset: Name
    """The preset in force; outputs lie under results/<preset>/."""
    compute: ComputeOptions = ComputeOptions()
    """What the machine may use."""
    plan: PlanOptions = PlanOptions()
    """What the target `plan` reckons with."""
    demo_data: DemoOptions = DemoOptions()
    """The generated archives of presets demo and tiny."""
    datasets: dict[Name, DatasetOptions]
    """Every data set by name."""
    corpus: CorpusOptions
    """What backbones are pre-trained on."""
    backbones: dict[Name, ArchitectureOptions]
    """Architectures by the name used in `pretrainings`."""
    recipes: dict[Name, AnyRecipe]
    """Training recipes: of the four base methods, and of your own."""
    spd: dict[Name, SPDOptions]
    """Variants of the SPD term; `none` adds nothing."""
    linear_protocol: LinearProtocols = LinearProtocols()
    """What the target `linear_protocol` trains on each frozen backbone."""
    weights: dict[Name, ArchiveOptions] = Field(default_factory=dict)
    """Published checkpoints that are downloaded when a `source` names their file."""
    pretrainings: dict[Name, Pretraining]
    """The rows of the tables."""
    geometries: dict[Name, GeometryOptions]
    """Resize and crop, applied to images and masks alike."""
    features: FeatureOptions = FeatureOptions()
    """How features are extracted."""
    detectors: Annotated[dict[Name, dict[Name, Profile]], BeforeValidator(_named_by_its_section)]
    """Profiles by name, of each detector: padim, patchcore, classifier, unet, and those of your own."""
    fewshot: FewShotOptions = FewShotOptions()
    """The draws of the setup 2cls_fewshot."""
    dataset_overview: OverviewOptions
    """The table of what was found in each data set."""
    tables: dict[Name, TableOptions]
    """The tables; each is also a target."""

    @model_validator(mode="after")
    def _terms_fit_their_recipes(self) -> "Config":
        lines = []
        for name, row in self.pretrainings.items():
            if row.recipe not in self.recipes or row.spd not in self.spd:
                continue
            if (reason := conflict(self.recipes[row.recipe], self.spd[row.spd])) is not None:
                lines.append(f"pretrainings.{name}: recipe {row.recipe} with spd.{row.spd}: {reason}")
        if lines:
            raise ValueError("\nconfig: ".join(lines))
        return self

    @model_validator(mode="after")
    def _a_detector_has_one_section(self) -> "Config":
        sections: dict[str, str] = {}  # label -> name
        for name, profiles in self.detectors.items():
            if len(classes := {profile.detector for profile in profiles.values()}) > 1:
                raise ValueError(
                    f"detectors.{name}: profiles of one name are one detector's, and these are of "
                    f"{' and '.join(sorted(classes))}; give each a name of its own"
                )
            for label in [DETECTORS[detector].label for detector in classes]:
                if (other := sections.setdefault(label, name)) != name:
                    raise ValueError(
                        f"detectors: {other} and {name} are both called {label}, and tables could not tell "
                        "them apart; put all profiles of a detector under one name, or give your class "
                        "another `label`"
                    )
        return self

    @model_validator(mode="after")
    def _detectors_fit_their_setups(self) -> "Config":
        for key, table in self.tables.items():
            if not self.detectors.get(table.detector):
                continue  # none, or a name that spd.config.references finds unknown
            entry = self.detector(table.detector)
            if (entry.setup == "1cls") != (table.setup == "1cls"):
                raise ValueError(
                    f"tables.{key}.detector: {table.detector} is no detector of setup {table.setup}"
                )
        return self

    def detector(self, name: str) -> Entry:
        """What is known of the detector that a section of `detectors` is about."""
        return DETECTORS[next(iter(self.detectors[name].values())).detector]

    def detectors_of(self, table: TableOptions) -> tuple[str, ...]:
        """Names under `detectors` whose cells a table reads."""
        return TWO_CLASS if table.detector is None else (table.detector,)

    def architecture(self, row: str) -> str:
        """The network of a pre-training; of source `file`, whose file says it, what the config supposes."""
        pretraining = self.pretrainings[row]
        source = pretraining.source
        return source.network if source else self.backbones[pretraining.backbone].architecture

    def stages(self, row: str) -> tuple[str, ...]:
        """Stages that detectors read of a pre-training's network, shallow to deep."""
        pretraining = self.pretrainings[row]
        return (pretraining.source or self.backbones[pretraining.backbone]).stages

    def term(self, row: str) -> SPDOptions | None:
        """The SPD term of a pre-training; None where it has none."""
        return active(self.spd[self.pretrainings[row].spd])

    def profile(self, detector: str, name: str) -> Profile:
        """A detector's profile, with its `geometry` and its `options`."""
        return self.detectors[detector][name]

    def asks_for_faiss(self) -> bool:
        """Whether a table needs faiss: one of its profiles has `search: faiss`."""
        return any(
            getattr(self.detectors[detector][profile].options, "search", "") == "faiss"
            for table in self.tables.values()
            for detector in self.detectors_of(table)
            for profile in table.profiles
        )


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Reads config.yaml and returns the validated experiment.

    overrides: what the user gave with `--configfile` and `--config`; they win over the preset, which
    wins over the file. Mappings merge key by key, anything else replaces; null removes a key.
    Raises ConfigError with one line a problem, also for the presets that were not chosen.
    """
    base = read_yaml(path)
    overrides = dict(overrides or {})
    _bounded(overrides, "--configfile or --config")
    presets = merge(base.pop("presets", {}), overrides.pop("presets", {}) or {})
    preset = overrides.get("preset", base.get("preset"))
    found = problems(_merged(base, presets, preset, overrides, path))
    for other in [name for name in presets if name != preset]:
        # The overrides may be meant for the chosen preset alone, or be what this one needs.
        bare, full = (problems(_merged(base, presets, other, over, path)) for over in ({}, overrides))
        found += [f"in preset {other}: {line}" for line in bare if line in full and line not in found]
    if found:
        raise ConfigError(_listed(found))
    return Config.model_validate(_merged(base, presets, preset, overrides, path))


def validate(content: Mapping[str, Any]) -> Config:
    """Checks a merged configuration; ConfigError names each wrong key, what is allowed, the nearest key."""
    if found := problems(content):
        raise ConfigError(_listed(found))
    return Config.model_validate(content)


def problems(content: Mapping[str, Any]) -> list[str]:
    """A line for each thing wrong with a merged configuration: keys, types, ranges, and names that refer to
    nothing."""
    found = []
    try:
        Config.model_validate(content)
    except ValidationError as error:
        found = [
            _explain(problem, content) for problem in error.errors() if not _other_branch(problem, error)
        ]
    return found + [line for line in dict.fromkeys(wrong_references(content)) if line not in found]


def _listed(found: list[str]) -> str:
    shown = found[:LISTED] + ([f"... and {len(found) - LISTED} more"] if len(found) > LISTED else [])
    return "config: " + "\nconfig: ".join(shown)


def _merged(
    base: Mapping[str, Any], presets: Mapping[str, Any], preset: Any, overrides: Mapping[str, Any], path: Any
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in [base, *_preset_layers(preset, presets, path), overrides, {"preset": preset}]:
        merged = merge(merged, layer)
    return merged


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a merged configuration, generated from the model."""
    schema = Config.model_json_schema()
    for part in [schema, *schema["$defs"].values()]:
        for node in part.get("properties", {}).values():
            if "patternProperties" in node:
                node["additionalProperties"] = False  # pydantic leaves other names to the reader
    return schema


def merge(base: Any, over: Any) -> Any:
    """Returns `base` with `over` laid on top: mappings merge, null removes a key, anything else replaces."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key, {} if isinstance(value, Mapping) else None), value)
    return result


def _preset_layers(preset: Any, presets: Mapping[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    if not isinstance(presets, Mapping) or not all(isinstance(p or {}, Mapping) for p in presets.values()):
        raise ConfigError(f"config: presets: each preset must be a mapping of keys ({path})")
    if not isinstance(preset, str) or preset not in presets:
        allowed = ", ".join(sorted(presets))
        raise ConfigError(
            f"config: preset: no preset named {preset!r}{nearest(str(preset), presets)}; "
            f"allowed: {allowed} ({path})"
        )
    chain: list[str] = []
    at: str | None = preset
    while at is not None:
        key = f"config: presets.{chain[-1]}.extends" if chain else ""
        if at in chain:
            raise ConfigError(f"{key}: goes in a circle: {' -> '.join([*chain, at])}")
        if at not in presets:
            raise ConfigError("".join(unknown(key, at, "preset", presets)))
        chain.append(at)
        at = (presets[at] or {}).get("extends")
    for name in reversed(chain):
        yield {key: value for key, value in (presets[name] or {}).items() if key != "extends"}


LARGEST = 100_000  # values; the whole of config.yaml has about 2,000


def _bounded(content: Any, where: str) -> None:
    """Refuses a document whose aliases (`*name`) would make it endless or huge when written out."""
    sizes: dict[int, int] = {}

    def size(value: Any) -> int:
        if not isinstance(value, Mapping | list | tuple):
            return 1
        if id(value) not in sizes:
            sizes[id(value)] = LARGEST + 1  # while it is being counted: met again, it contains itself
            inner = value.values() if isinstance(value, Mapping) else value
            sizes[id(value)] = 1 + sum(size(one) for one in inner)
        return sizes[id(value)]

    try:
        found = size(content)
    except RecursionError:
        raise ConfigError(f"config: {where} is nested too deeply") from None
    if found > LARGEST:
        raise ConfigError(f"config: {where}: its aliases repeat or contain too much; write the values out")


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, since the second would silently win."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(f"config: key {key!r} is given twice, line {key_node.start_mark.line + 1}")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 reads 1e-4 as a string and 1.0e-4 as a number; people write the first.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML mapping. Raises ConfigError naming file and line when it is not one."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"config: cannot read {path}: {error.strerror}") from None
    except ConfigError:
        raise
    except RecursionError:
        raise ConfigError(f"config: {path} is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # unhashable keys, endless digits
        raise ConfigError(f"config: {path} is not YAML: {' '.join(str(error).split())[:300]}") from None
    _bounded(content, str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"config: {path} must be a mapping of keys, not {type(content).__name__}")
    return content


def _other_branch(problem: Any, error: ValidationError) -> bool:
    """Whether a problem only says that a mapping is not the list that was allowed in its place."""
    return problem["type"] == "tuple_type" and isinstance(problem["input"], dict) and error.error_count() > 1


def _explain(problem: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """One line for one pydantic problem: the key, what is wrong, what is allowed, the nearest key."""
    location, names = _locate([part for part in problem["loc"] if part != "[key]"], content)
    key = ".".join(map(str, location)) or "config.yaml"
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        for removed, instead in REMOVED.items():
            if re.search(f"{removed}$", key):
                return f"{key}: there is no such key any more; {instead}"
        allowed = f"; allowed: {', '.join(names)}" if names else ""
        return f"{key}: unknown key{nearest(str(location[-1]), names)}{allowed}"
    if kind == "missing":
        return f"{key}: this key is missing"
    if kind == "value_error":
        return f"{key}: {problem['ctx']['error']}" if location else str(problem["ctx"]["error"])
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        hint = nearest(str(given), words)
        return f"{key}: {given!r} is not allowed{hint}; allowed: {problem['ctx']['expected']}"
    if kind == "string_pattern_mismatch" and (words := PATTERNS.get(problem["ctx"]["pattern"])):
        return f"{key}: {given!r} is not allowed here; allowed: {words}"
    if kind == "string_type" and given is not None and not isinstance(given, list | tuple | Mapping):
        was = {bool: "true or false", int: "a number", float: "a number"}.get(type(given), "a date")
        return (
            f"{key}: quote it, as '...': without quotes YAML reads it as {was} (given: {given!r}); "
            "01 in quotes is '01'"
        )
    shown = json.dumps(given, default=str)
    return f"{key}: {problem['msg']} (given: {shown if len(shown) < 80 else shown[:77] + '...'})"


def _locate(parts: list[Any], content: Any) -> tuple[list[Any], list[str]]:
    """A pydantic location as keys of config.yaml, and the fields allowed where its last key stands.

    pydantic names the chosen member of a union (a class) inside the path; these are left out.
    """
    keys: list[Any] = []
    allowed: list[str] = []
    at: Any = Config
    for part in parts:
        models = list(_models(at))
        member = next((model for model in models if part == model.__name__), None)
        if member is not None and len(models) > 1:
            at = member
            continue
        if models == [Recipe]:
            models = [_options_of(METHODS, content, "method") or Recipe]
        allowed = list(models[0].model_fields) if models else []
        keys.append(part)
        model = next((model for model in models if part in model.model_fields), None)
        at = model.model_fields[part].annotation if model else _value_type(at)
        if model is Profile and part == "options":
            at = _options_of(DETECTORS, {"detector": keys[1], **(content or {})}, "detector")
        content = content.get(part) if isinstance(content, Mapping) else None
    return keys, allowed


def _options_of(registry: Registry, content: Any, key: str) -> type[Options] | None:
    """The options model that a part of the configuration asks for; None where its name is wrong, too."""
    try:
        return registry[content[key]].options
    except (KeyError, TypeError, ValueError):
        return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not dict:
        for argument in get_args(annotation):
            yield from _models(argument)


def _value_type(annotation: Any) -> Any:
    arguments = [argument for argument in get_args(annotation) if argument not in (type(None), Ellipsis)]
    return arguments[-1] if arguments else None
