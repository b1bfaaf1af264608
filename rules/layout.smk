"""Where everything lies; the rules below only fill in names. What there is, `design` says (spd.config.design)."""

import functools
import hashlib
import os
from dataclasses import asdict

from workflow_scripts.common import backbone_hash, kept
from spd.config.design import (
    BACKBONE,
    BACKBONE_RECORD,
    CELL,
    CELL_JOB,
    EXAMINED,
    FEATURES,
    FEATURES_JOB,
    HISTORY,
)
from spd.config.design import (
    IMAGES,
    IMAGES_JOB,
    LINEAR,
    MANIFEST,
    MANIFEST_RECORD,
    MAPS,
    RUN,
    SIDECAR,
    TRAINING,
)
from spd.config.design import Design
from spd.report.names import Names
from spd.files import files_sha256
from workflow_scripts.common import linear_results, run_order
from workflow_scripts.common.external_files import ExternalFiles
from workflow_scripts.common.training_resources import training_resources

design = Design(experiment)
try:
    external = ExternalFiles(design)
except ValueError as error:
    raise WorkflowError(str(error)) from None


def results(path):
    """A path of this preset: a pattern of spd.config.design, or what a cell or a backbone says of itself."""
    return f"{RESULTS}/{path}"


def cell_of(wc):
    """The cell (spd.config.design.Cell) of a detector's job."""
    return design.cell(**dict(wc.items()))


def stage_code(rule_name):
    """Hash of the sources a stage runs: a changed module of spd/ marks its results stale.

    Preset paper only warns (its tables name the versions they mix): a checkout must not redo GPU-weeks.
    """
    if experiment.compute.stale_code == "warn":
        return "any"
    return source_hash(HERE / "workflow_scripts" / f"{rule_name}.py")


def detector_options(wc):
    return experiment.profile(wc.detector, wc.profile).options.model_dump(mode="json")


def detector_geometry(wc):
    name = experiment.profile(wc.detector, wc.profile).geometry
    return {"name": name, **experiment.geometries[name].model_dump(mode="json")}


def names(datasets, pretrainings):
    """What is shown for these keys (spd.report.names): a param of what shows results, and of nothing else."""
    return asdict(Names.of(experiment, datasets, pretrainings))


def pattern(names):
    """A wildcard's constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


TRAINED = [name for name in experiment.pretrainings if design.trains(name)]
ELSEWHERE = [name for name in experiment.pretrainings if not design.trains(name)]
NOTICES = [notice for name in design.datasets if (notice := experiment.datasets[name].notice)]


wildcard_constraints:
    dataset=pattern(experiment.datasets),
    setup="1cls|2cls_highshot|2cls_fewshot",
    pretraining=pattern(experiment.pretrainings),
    geometry=pattern(experiment.geometries),
    detector=pattern(type(experiment.detectors).model_fields),
    profile=r"[A-Za-z0-9_.]+",
    part=r"[^/]+",
    seed=r"\d+",
    hash=f"[0-9a-f]{{{backbone_hash.DIGITS}}}",
