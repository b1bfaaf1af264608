"""Pre-trains one backbone."""

import sys
from pathlib import Path

from job import cpus, running
from launch import launch, queued_again_when_preempted

with running(snakemake), queued_again_when_preempted():
    import json

    from spd.backbones.files import read_metadata
    from spd.corpus import open_packed, packed_sources
    from spd.datasets.manifest import read
    from spd.methods.options import SPDOptions, parse_recipe
    from spd.pretrain import pretrain
    from spd.provenance import code_version
    from spd.records import write_backbone_record

    name, seed = snakemake.wildcards.pretraining, int(snakemake.wildcards.seed)
    recipe, spd = parse_recipe(snakemake.params.recipe), SPDOptions(**snakemake.params.spd)
    code = code_version(Path(snakemake.scriptdir) / "pretrain.py")
    nodes, gpus = snakemake.resources.nodes, snakemake.resources.gpu

    def train():
        pretrain(
            open_packed(snakemake.input.corpus, read(snakemake.input.manifest)),
            architecture=snakemake.params.architecture,
            recipe=recipe,
            spd=spd,
            seed=seed,
            backbone_path=snakemake.output.backbone,
            history_path=snakemake.output.history,
            # Beside the outputs and undeclared: Snakemake deletes what a failed job declared.
            checkpoint_path=Path(snakemake.output.backbone).with_suffix(".checkpoint"),
            init=snakemake.input.init or None,
            device=snakemake.params.device,
            threads=max(1, cpus(snakemake) // max(1, gpus // nodes)),
            provenance={**code, "sources": packed_sources(snakemake.input.corpus)},
        )

    launch(train, sys.argv[0], nodes=nodes, gpus=gpus)
    made = read_metadata(snakemake.output.backbone).more
    last = json.loads(Path(snakemake.output.history).read_text().splitlines()[-1])
    write_backbone_record(
        snakemake.output.record,
        snakemake.output.backbone,
        pretraining=name,
        seed=seed,
        params={
            "backbone": snakemake.params.architecture,
            "eta": spd.eta,
            **{key: value for key, value in snakemake.params.recipe.items() if not isinstance(value, dict)},
        },
        metrics={f"final/{key}": value for key, value in last.items() if isinstance(value, int | float)},
        provenance={**code, "notes": made["notes"], "protocol": made["judged"].get("protocol")},
        history=snakemake.output.history,
    )
