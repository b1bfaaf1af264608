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
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    at, given = snakemake.wildcards, snakemake.params
    seed = int(at.seed)
    images = open_packed(snakemake.input.corpus, read(snakemake.input.manifest))
    backbone = read_metadata(snakemake.input.backbone)
    options = LinearOptions(**given.options)
    recipe = parse_recipe(given.recipe) if given.recipe else None
    kept, judged = images.split(options.held_out if recipe is None else recipe.held_out, seed)
    # Beside the outputs: Snakemake deletes those of a job that fails, and finished epochs must outlive it.
    state = Path(snakemake.output.result).with_suffix(".checkpoint")

    own = backbone.more.get("judged", {}).get("classifier") if recipe is not None else None
    if own is not None:
        protocol, accuracy = "classifier", 100 * own
        job.say("the training's own classifier was measured when it ended")
    else:
        protocol = "linear"
        accuracy = top1(
            snakemake.input.backbone,
            images,
            kept,
            judged,
            options,
            seed=seed,
            checkpoint_path=state,
            device=given.device,
            threads=cpus(snakemake),
        )
    reported, source = beside(  # or why not
        preset=given.preset,
        method=given.method,
        architecture=backbone.architecture,
        protocol=protocol,
        options=options if protocol == "linear" else None,
        recipe=recipe,
        eta=given.eta,
        init=given.init,
        counts=(len(kept), len(judged), len(images.classes)),
    )
    code = code_version(Path(snakemake.scriptdir) / "linear_classifier.py")
    checkpoint = file_sha256(snakemake.input.backbone)
    result = {
        "schema": 1,
        "pretraining": at.pretraining,
        "seed": seed,
        "method": given.method,
        "architecture": backbone.architecture,
        "protocol": protocol,
        "options": given.options if protocol == "linear" else None,
        "top1": accuracy,
        "published": reported,
        "source": None if reported is None else source,
        "not_compared": source if reported is None else None,
        "trained_on": len(kept),
        "judged": len(judged),
        "of": "the data set's own validation images" if len(images.validation) else "held-out images",
        "checkpoint": checkpoint,
        "corpus": images.digest,
        **code,
    }
    write_json(snakemake.output.result, result)
    shown = {key: result[key] for key in ("protocol", "trained_on", "judged", "of")}
    write_record(
        snakemake.output.record,
        key=f"linear/{at.pretraining}/seed{seed}",
        experiment="linear protocol",
        name=f"{at.pretraining} seed{seed}",
        params={
            "pretraining": at.pretraining,
            "seed": seed,
            "backbone": backbone.architecture,
            **shown,
            "published": source,
            **{f"linear.{key}": value for key, value in (result["options"] or {}).items()},
        },
        metrics={"linear_protocol/top1": accuracy, "linear_protocol/published": reported},
        provenance={"checkpoint": checkpoint, "sources": packed_sources(snakemake.input.corpus), **code},
        artifacts=(snakemake.output.result,),
    )
    state.unlink(missing_ok=True)
    job.say(f"{accuracy:.2f} % of {len(judged)} images")
