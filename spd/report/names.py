"""What data sets and pre-trainings are called where results are shown.

Results on disk hold the keys of config.yaml alone. Names are put in when a table, a page or a run is made,
so that another label or display name computes nothing again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Names:
    """datasets: key -> name shown. pretrainings: key -> `label`, `spd` and `labels` of config.yaml.

    A key that is not there keeps its place: results that name themselves in full are shown as they are.
    """

    datasets: Mapping[str, str] = field(default_factory=dict)
    pretrainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, experiment: Any, datasets: Iterable[str] | None = None, pretrainings: Iterable[str] | None = None
    ) -> "Names":
        """The names in a configuration (spd.config.model.Config), of these keys (None: of all)."""
        about = {"label", "spd", "labels"}
        return cls(
            {
                key: experiment.datasets[key].name
                for key in (experiment.datasets if datasets is None else datasets)
            },
            {
                key: experiment.pretrainings[key].model_dump(mode="json", include=about)
                for key in (experiment.pretrainings if pretrainings is None else pretrainings)
            },
        )

    def in_cell(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a cell file with the names in it."""
        about = cell.get("pretraining", {})
        row = self.pretrainings.get(about.get("name"))
        if row is not None:
            about = {**about, **row, "method": row["label"]}
        dataset = cell.get("dataset")
        return {**cell, "dataset": self.datasets.get(dataset, dataset), "pretraining": about}

    def in_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The params of a run record with the names in them: `method`, `spd`, `labels`, `dataset`."""
        named = dict(params)
        row = self.pretrainings.get(params.get("pretraining"))
        if row is not None:
            named |= {"method": row["label"], "spd": row["spd"], "labels": row["labels"]}
        if params.get("dataset") in self.datasets:
            named["dataset"] = self.datasets[params["dataset"]]
        return named
