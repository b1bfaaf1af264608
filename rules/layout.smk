"""Where everything lies: patterns that the rules fill in. `design` (spd.config.design) says what there is."""

import re

from spd.config.design import (
    BACKBONE,
    BACKBONE_RECORD,
    CELL,
    CELL_JOB,
    EXAMINED,
    FEATURES,
    FEATURES_JOB,
    HISTORY,
    IMAGES,
    IMAGES_JOB,
    LINEAR,
    MANIFEST,
    MANIFEST_RECORD,
    MAPS,
    RUN,
    SIDECAR,
    TRAINING,
    Design,
)
from workflow_scripts.common import backbone_hash
from workflow_scripts.common.external_files import ExternalFiles

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


def pattern(names):
    """A wildcard's constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


TRAINED = [name for name in experiment.pretrainings if design.trains(name)]
ELSEWHERE = [name for name in experiment.pretrainings if not design.trains(name)]


wildcard_constraints:
    dataset=pattern(experiment.datasets),
    setup="1cls|2cls_highshot|2cls_fewshot",
    pretraining=pattern(experiment.pretrainings),
    geometry=pattern(experiment.geometries),
    detector=pattern(experiment.detectors),
    profile=r"[A-Za-z0-9_.]+",
    part=r"[^/]+",
    seed=r"\d+",
    hash=f"[0-9a-f]{{{backbone_hash.DIGITS}}}",
