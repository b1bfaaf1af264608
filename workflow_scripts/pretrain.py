"""Pre-trains one backbone."""

import sys
from pathlib import Path

from workflow_scripts.common.job import cpus, running
from workflow_scripts.common.launch import launch, queued_again_when_preempted

with running(snakemake) as job, queued_again_when_preempted():
    import json

    from spd.backbones.files import read_metadata
    from spd.data.corpus import open_packed, packed_sources
    from spd.data.manifest import read
    from spd.files import file_sha256, write_json
    from spd.methods.options import METHODS, SPDOptions, parse_recipe
    from spd.training.loop import pretrain
    from spd.training.settings import Outputs, Settings

    name, seed = snakemake.wildcards.pretraining, int(snakemake.wildcards.seed)
    params, resources, record = snakemake.params, snakemake.resources, Path(snakemake.output.record)
    recipe = parse_recipe({**params.recipe, "checkpoint_minutes": float(resources.checkpoint_minutes)})
    spd = SPDOptions(**params.spd) if params.spd else None
    job.sources.append(METHODS[recipe.method].path)
    images = open_packed(snakemake.input.corpus, read(snakemake.input.manifest))
    suffixes = (".safetensors", ".history.jsonl", ".checkpoint")
    backbone, history, checkpoint = (record.with_suffix(suffix) for suffix in suffixes)
    # Of a backbone that is trained here the record is the input.
    init = Path(str(snakemake.input.init)).with_suffix(".safetensors") if snakemake.input.init else None
    about = {
        "backbone": params.architecture,
        "eta": spd.eta if spd else 0.0,
        **{key: value for key, value in params.recipe.items() if not isinstance(value, dict)},
    }

    def train():
        pretrain(
            images,
            Settings(architecture=params.architecture, recipe=recipe, spd=spd, seed=seed, init=init),
            Outputs(backbone, history, checkpoint),
            device=resources.device,
            threads=max(1, cpus(snakemake) // max(1, resources.gpu // resources.nodes)),
            provenance={**job.provenance, "sources": packed_sources(snakemake.input.corpus)},
        )

    started = Path(f"{checkpoint}.json")  # what `make kept` says of a half-trained one
    if backbone.exists() and history.exists():
        job.say(f"{backbone} is trained already; delete it and {record.name} beside it to train it again")
    else:
        write_json(started, about)
        launch(train, sys.argv[0], nodes=resources.nodes, gpus=resources.gpu)
    made = read_metadata(backbone).more
    if made["data"] != images.digest:
        raise ValueError(
            f"{backbone}: was trained on other images than those of {snakemake.input.corpus}, though its "
            f"settings are the same; move {record.parent} away to train it again"
        )
    last = json.loads(history.read_text().splitlines()[-1])
    job.record(
        f"backbone/{name}/seed{seed}",
        "backbones",
        f"{name} seed{seed}",
        {"pretraining": name, "seed": seed, **about},
        {
            "checkpoint": file_sha256(backbone),
            **{key: made[key] for key in job.provenance},  # of a backbone that was trained before: its own
            "notes": made["notes"],
            "protocol": made["judged"].get("protocol"),
        },
        metrics={f"final/{key}": value for key, value in last.items() if isinstance(value, int | float)},
        history=str(history),
    )
    for passing in (started, checkpoint):  # a job that was killed at its end may have left them
        passing.unlink(missing_ok=True)
    job.undeclared += [backbone, history]
