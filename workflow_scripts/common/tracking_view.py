"""What MLflow's pages show first of an experiment: charts, runs grouped by method, and what a run is.

MLflow keeps a view that somebody shares as a tag of the experiment; ours is such a tag, so the same in every
browser. Fields as MLflow 3.17 has them (`ExperimentPageUIState` of its own sources).
"""

import contextlib
import json
import re
from collections.abc import Set
from typing import Any

KEY = "spd"
"""The view's key in addresses: `...&viewStateShareKey=spd`."""
GROUPS = ("method", "spd")
"""Params that runs are grouped by, in experiments whose runs all have them."""
NOTE = "mlflow.note.content"
NOTES = {
    "backbones": "A run is a backbone: one pre-training and seed. `train/...` are curves by step; samples of "
    "its views are among the artefacts.",
    "tables": "A run is a table: its files, and the configuration and environment it was made with.",
}
CELLS = "A run is a cell of the tables in its tag `spd.tables`: one backbone, detector, profile and data set."


def present(client: Any, experiment_id: str, experiment: str, params: Set[str]) -> None:
    """Sets the experiment's tags, where they are not set so already.

    experiment: the records' name of it. params: what its runs have.
    """
    from mlflow.exceptions import MlflowException

    # Where this is missing MLflow guesses, and asks.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if note := NOTES.get(experiment, CELLS if re.search(r" [12]cls", experiment) else None):
        tags[NOTE] = note
    if grouped(params):
        tags[f"mlflow.sharedViewState.{KEY}"] = json.dumps(_state(), sort_keys=True)
    there = client.get_experiment(experiment_id).tags
    for key, value in tags.items():
        if there.get(key) == value or (key == NOTE and key in there):  # a note edited in the browser stays
            continue
        with contextlib.suppress(MlflowException):  # another sync sets the same now
            client.set_experiment_tag(experiment_id, key, value)


def grouped(params: Set[str]) -> bool:
    """Whether an experiment whose runs have these params has the grouped view."""
    return params.issuperset(GROUPS)


def address(experiment_id: str, params: Set[str]) -> str:
    """Where MLflow shows an experiment's runs as charts, grouped if they can be: what follows host, port."""
    share = f"&viewStateShareKey={KEY}" if grouped(params) else ""
    # The left bar lists what belongs to training; without the first word it lists tools for chats.
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART{share}"


def _state() -> dict[str, Any]:
    """MLflow takes a shared view as the whole state of its page."""
    return {
        "selectedColumns": [f"params.`{name}`" for name in ("method", "spd", "dataset", "profile")],
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": name} for name in GROUPS],
        },
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
    }
