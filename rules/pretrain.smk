"""Class folders -> one backbone for each pre-training and seed; or a backbone from elsewhere."""


localrules:
    link_backbone,


rule corpus:
    """Decode the pre-training images once into one memory map; every training reads it."""
    input:
        manifest=results(MANIFEST.format(dataset=experiment.corpus.dataset, setup="1cls")),
        sidecar=results(SIDECAR.format(dataset=experiment.corpus.dataset, setup="1cls")),
    output:
        corpus=results(f"corpus/{experiment.corpus.dataset}.safetensors"),
        record=results("records/corpus.json"),
    log:
        results("logs/corpus.log"),
    threads: experiment.compute.threads
    resources:
        # Not a param: which trainings read a corpus changes nothing in it.
        batches=json.dumps(batches_of(design.trained)),
    params:
        dataset=experiment.corpus.dataset,
        size=experiment.corpus.size,
        code=stage_code("corpus"),
    script:
        "../workflow_scripts/corpus.py"


rule pretrain:
    """Train a backbone, in a folder named by what makes it.

    Only the record is declared: Snakemake deletes outputs before it runs a rule again, whatever the reason, and
    after a failed job. Weights, history and checkpoint lie next to it. Inputs are ancient: the folder's name says
    which corpus and which initial weights they are, and the same ones made again train nothing.
    """
    input:
        corpus=ancient(rules.corpus.output.corpus),
        manifest=ancient(rules.corpus.input.manifest),
        sidecar=ancient(rules.corpus.input.sidecar),
        init=ancient(initial_weights),
    output:
        record=results(TRAINING),
    log:
        results("logs/pretrain/{pretraining}-seed{seed}-{hash}.log"),
    benchmark:
        results("benchmarks/pretrain/{pretraining}-seed{seed}-{hash}.tsv")
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
        # Not params: where a training runs and how often it saves make no other backbone.
        device=experiment.compute.device,
        checkpoint_minutes=lambda wc: str(
            experiment.recipes[experiment.pretrainings[wc.pretraining].recipe].checkpoint_minutes
        ),
    params:
        architecture=setting("architecture"),
        recipe=setting("recipe"),
        spd=setting("spd"),
    script:
        "../workflow_scripts/pretrain.py"


rule link_backbone:
    """The backbone that this config asks for under the name that everything else reads."""
    input:
        record=lambda wc: trained(wc.pretraining, int(wc.seed)),
    output:
        backbone=results(BACKBONE),
        history=results(HISTORY),
        record=results(BACKBONE_RECORD),
    log:
        results("logs/link_backbone/{pretraining}-seed{seed}.log"),
    wildcard_constraints:
        pretraining=pattern(TRAINED),
    script:
        "../workflow_scripts/link_backbone.py"


rule views:
    """Samples of what each pre-training sees: images of its first step and their views."""
    input:
        corpus=rules.corpus.output.corpus,
        manifest=rules.corpus.input.manifest,
        sidecar=rules.corpus.input.sidecar,
    output:
        sheets=[results(f"views/{name}.png") for name in design.trained],
        record=results("records/views.json"),
    log:
        results("logs/views.log"),
    params:
        pretrainings=[backbone_hash.view_settings(experiment, name) for name in design.trained],
        code=stage_code("views", *sorted({method_of(name).path for name in design.trained})),
    script:
        "../workflow_scripts/views.py"


rule import_backbone:
    """Weights from elsewhere become the same kind of file; nothing is unpickled."""
    input:
        lambda wc: external.weights(wc.pretraining) or [],
    output:
        backbone=results(BACKBONE),
        record=results(BACKBONE_RECORD),
    log:
        results("logs/import_backbone/{pretraining}-seed{seed}.log"),
    wildcard_constraints:
        pretraining=pattern(ELSEWHERE),
    params:
        source=lambda wc: experiment.pretrainings[wc.pretraining].source.model_dump(
            mode="json", exclude={"stages", "seed"}
        ),
        sha256=lambda wc: external.published_sha256(wc.pretraining),
        code=stage_code("import_backbone"),
    script:
        "../workflow_scripts/import_backbone.py"
