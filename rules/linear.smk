"""Frozen backbone -> its accuracy by the linear protocol of its method; a target of its own, hours of a GPU."""


localrules:
    linear_protocol,


rule linear_classifier:
    """One backbone, by the recipe of its method's own repository."""
    input:
        corpus=rules.corpus.output.corpus,
        manifest=rules.corpus.input.manifest,
        sidecar=rules.corpus.input.sidecar,
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
    output:
        f"{RESULTS}/linear/{{pretraining}}-seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/linear/{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/linear/{{pretraining}}-seed{{seed}}.tsv"
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
        # Warned before its time limit it goes back into the queue, and on from its last finished epoch.
        slurm_extra=f"--signal=TERM@{experiment.compute.grace_seconds}",
    params:
        preset=experiment.preset,
        method=lambda wc: linear_protocol_of(wc.pretraining)[0],
        options=lambda wc: linear_protocol_of(wc.pretraining)[1].model_dump(mode="json"),
        recipe=lambda wc: (
            experiment.recipes[experiment.pretrainings[wc.pretraining].recipe].model_dump(mode="json")
            if wc.pretraining in TRAINED
            else None
        ),
        eta=lambda wc: experiment.spd[experiment.pretrainings[wc.pretraining].spd].eta,
        init=lambda wc: experiment.pretrainings[wc.pretraining].init is not None,
        device=experiment.compute.device,
        code=stage_code("linear_classifier"),
    script:
        "../workflow_scripts/linear_classifier.py"


rule linear_protocol:
    """Every backbone of the tables beside what its publication reports."""
    input:
        results=[f"{RESULTS}/linear/{name}-seed{seed}.json" for name, seed in PICTURED],
    output:
        multiext(f"{RESULTS}/tables/linear_protocol", ".csv", ".md", ".tex", ".html"),
        record=f"{RESULTS}/records/tables/linear_protocol.json",
    log:
        f"{RESULTS}/logs/tables/linear_protocol.log",
    params:
        preset=experiment.preset,
        names=names([], used_pretrainings()),
        code=stage_code("linear_protocol"),
    script:
        "../workflow_scripts/linear_protocol.py"
