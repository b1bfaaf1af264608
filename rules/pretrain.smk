"""Class folders -> a backbone a (pre-training, seed); or a backbone from elsewhere."""


rule corpus:
    """Decode the pre-training images once into one memory map; every training reads it."""
    input:
        manifest=manifest(experiment.corpus.dataset, "1cls"),
        sidecar=manifest(experiment.corpus.dataset, "1cls").removesuffix("csv") + "json",
    output:
        corpus=f"{RESULTS}/corpus/{experiment.corpus.dataset}.safetensors",
        record=f"{RESULTS}/records/corpus.json",
    log:
        f"{RESULTS}/logs/corpus.log",
    threads: experiment.compute.threads
    params:
        dataset=experiment.corpus.dataset,
        size=experiment.corpus.size,
        code=stage_code("corpus"),
    script:
        "../workflow_scripts/corpus.py"


rule pretrain:
    input:
        corpus=rules.corpus.output.corpus,
        manifest=rules.corpus.input.manifest,
        sidecar=rules.corpus.input.sidecar,
        init=lambda wc: initial_weights(wc.pretraining, int(wc.seed)),
    output:
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        history=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.history.jsonl",
        record=f"{RESULTS}/records/backbones/{{pretraining}}-seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/pretrain/{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{pretraining}}-seed{{seed}}.tsv"
    wildcard_constraints:
        pretraining=pattern(TRAINED),
    threads: experiment.compute.threads
    resources:
        nodes=of_training("nodes"),
        gpu=of_training("gpu"),
        mpi=of_training("mpi"),
        tasks=of_training("tasks"),
        tasks_per_gpu=of_training("tasks_per_gpu"),
        slurm_extra=of_training("slurm_extra"),
    params:
        recipe=lambda wc: experiment.recipes[experiment.pretrainings[wc.pretraining].recipe].model_dump(
            mode="json"
        ),
        spd=lambda wc: experiment.spd[experiment.pretrainings[wc.pretraining].spd].model_dump(mode="json"),
        architecture=lambda wc: experiment.backbones[
            experiment.pretrainings[wc.pretraining].backbone
        ].architecture,
        device=experiment.compute.device,
        code=stage_code("pretrain"),
    script:
        "../workflow_scripts/pretrain.py"


rule views:
    """Samples of what each pre-training sees: images of its first step and their views."""
    input:
        corpus=rules.corpus.output.corpus,
        manifest=rules.corpus.input.manifest,
        sidecar=rules.corpus.input.sidecar,
    output:
        sheets=[f"{RESULTS}/views/{name}.png" for name in used_trainings()],
        record=f"{RESULTS}/records/views.json",
    log:
        f"{RESULTS}/logs/views.log",
    params:
        pretrainings=[views_of(name) for name in used_trainings()],
        code=stage_code("views"),
    script:
        "../workflow_scripts/views.py"


rule import_backbone:
    """Weights from elsewhere become the same kind of file; nothing is unpickled."""
    input:
        lambda wc: fetched(CHECKPOINTS.get(wc.pretraining)) or [],
    output:
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        record=f"{RESULTS}/records/backbones/{{pretraining}}-seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/import_backbone/{{pretraining}}-seed{{seed}}.log",
    wildcard_constraints:
        pretraining=pattern(ELSEWHERE),
    params:
        source=lambda wc: experiment.pretrainings[wc.pretraining].source.model_dump(
            mode="json", exclude={"stages", "seed"}
        ),
        sha256=lambda wc: published_sha256(CHECKPOINTS.get(wc.pretraining)),
        code=stage_code("import_backbone"),
    script:
        "../workflow_scripts/import_backbone.py"
