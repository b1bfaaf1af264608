"""What a detector's job says of its cells: where they belong in the experiment, what they were made of."""

from collections.abc import Mapping
from typing import Any

from spd.backbones.files import read_metadata
from spd.data.cache import ImageCache
from spd.files import file_sha256, read_json


def described(
    snakemake: Any, job: Any, *, setup: str, label: str, metric: str, sources: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Fields of a cell (spd.detectors.results) but `objects`; a fine-tuning replaces `shots` and `draw`.

    label: the detector's name in results. metric: how its metrics are defined. sources: versions of stages
    before it beyond those of the backbone and the images.
    """
    at, params, files = snakemake.wildcards, snakemake.params, snakemake.input
    backbone, cache = read_metadata(files.backbone), ImageCache(files.images)
    run = f"{at.dataset}/{setup}/{at.detector}-{at.profile}/{at.part}/{at.pretraining}/seed{at.seed}"
    return {
        "schema": 1,
        "dataset": at.dataset,
        "setup": setup,
        "detector": label,
        "profile": at.profile,
        "pretraining": {"name": at.pretraining, "backbone": backbone.architecture, "seed": int(at.seed)},
        "shots": None,
        "draw": None,
        "provenance": {
            "preset": params.preset,
            **job.provenance,
            "pretraining_code": backbone.more.get("code"),
            "pretraining_notes": backbone.more.get("notes", []),
            # The stages before: results of two versions of any of them must not pass for one.
            "sources": {**backbone.more.get("sources", {}), **cache.sources, **(sources or {})},
            "split_hash": cache.split_hash,
            "data_fingerprint": read_json(files.sidecar)["fingerprint"],
            "checkpoint": file_sha256(files.backbone),
            "geometry": params.geometry,
            "options": params.options,
            "metric": metric,
            "run_key": f"cell/{run}",
        },
    }
