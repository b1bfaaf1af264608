"""Frozen backbone -> its accuracy by the linear protocol of its method; a target of its own, hours of a GPU."""


localrules:
    linear_protocol,


rule linear_classifier:
    """One backbone, by the recipe of its method's own repository."""
    input:
        corpus=rules.corpus.output.corpus,
        manifest=rules.corpus.input.manifest,
        sidecar=rules.corpus.input.sidecar,
        backbone=results(BACKBONE),
    output:
        results(LINEAR),
    log:
        results("logs/linear/{pretraining}-seed{seed}.log"),
    benchmark:
        results("benchmarks/linear/{pretraining}-seed{seed}.tsv")
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
        # Warned before its time limit it goes back into the queue, and on from its last finished epoch.
        slurm_extra=f"--signal=TERM@{experiment.compute.grace_seconds}",
    params:
        preset=experiment.preset,
        method=lambda wc: linear_protocol_of(wc)[0],
        options=lambda wc: linear_protocol_of(wc)[1].model_dump(mode="json"),
        recipe=lambda wc: (
            experiment.recipes[experiment.pretrainings[wc.pretraining].recipe].model_dump(mode="json")
            if design.trains(wc.pretraining)
            else None
        ),
        eta=lambda wc: experiment.spd[experiment.pretrainings[wc.pretraining].spd].eta,
        init=lambda wc: experiment.pretrainings[wc.pretraining].init is not None,
        device=experiment.compute.device,
        code=stage_code("linear_classifier"),
    script:
        "../workflow_scripts/linear_classifier.py"


rule linear_protocol:
    """Every backbone of the tables, and what its publication reports."""
    input:
        results=[results(backbone.linear) for backbone in design.evaluated],
    output:
        multiext(results("tables/linear_protocol"), ".csv", ".md", ".tex", ".html"),
        record=results("records/tables/linear_protocol.json"),
    log:
        results("logs/tables/linear_protocol.log"),
    params:
        preset=experiment.preset,
        names=names([], design.pretrainings),
        code=stage_code("linear_protocol"),
    script:
        "../workflow_scripts/linear_protocol.py"
