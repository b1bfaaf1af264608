"""Judges one backbone by the linear protocol of its method's repository."""

from pathlib import Path

from workflow_scripts.common.job import cpus, running
from workflow_scripts.common.launch import queued_again_when_preempted

with running(snakemake) as job, queued_again_when_preempted():
    from spd.backbones.files import read_metadata
    from spd.data.corpus import open_packed, packed_sources
    from spd.data.manifest import read
    from spd.files import file_sha256, write_json
    from spd.linear_protocol.options import LinearOptions
    from spd.linear_protocol.published import beside
    from spd.linear_protocol.training import top1
    from spd.methods.options import parse_recipe

    files, params = snakemake.input, snakemake.params
    name, seed = snakemake.wildcards.pretraining, int(snakemake.wildcards.seed)
    images, backbone = open_packed(files.corpus, read(files.manifest)), read_metadata(files.backbone)
    options = LinearOptions(**params.options)
    recipe = parse_recipe(params.recipe) if params.recipe else None
    kept, judged = images.split(options.held_out if recipe is None else recipe.held_out, seed)
    # Next to the output: Snakemake deletes those of a job that fails, and finished epochs must outlive it.
    state = Path(snakemake.output[0]).with_suffix(".checkpoint")

    own = backbone.more.get("judged", {}).get("classifier") if recipe is not None else None
    if own is not None:
        protocol, options, accuracy = "classifier", None, 100 * own
        job.say("the training's own classifier was measured when it ended")
    else:
        protocol = "linear"
        accuracy = top1(
            files.backbone,
            images,
            kept,
            judged,
            options,
            seed=seed,
            checkpoint_path=state,
            device=params.device,
            threads=cpus(snakemake),
        )
    reported, source = beside(  # or why not
        preset=params.preset,
        method=params.method,
        architecture=backbone.architecture,
        protocol=protocol,
        options=options,
        recipe=recipe,
        eta=params.eta,
        init=params.init,
        counts=(len(kept), len(judged), len(images.classes)),
    )
    result = {
        "schema": 1,
        "pretraining": name,
        "seed": seed,
        "method": params.method,
        "architecture": backbone.architecture,
        "protocol": protocol,
        "options": options and params.options,
        "top1": accuracy,
        "published": reported,
        "source": None if reported is None else source,
        "not_compared": source if reported is None else None,
        "trained_on": len(kept),
        "judged": len(judged),
        "of": "the data set's own validation images" if len(images.validation) else "held-out images",
        "corpus": images.digest,
        "checkpoint": file_sha256(files.backbone),
        "sources": packed_sources(files.corpus),
        **job.provenance,
    }
    write_json(snakemake.output[0], result)
    state.unlink(missing_ok=True)
    job.say(f"{accuracy:.2f} % of {len(judged)} images")
