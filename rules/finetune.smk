"""Backbone + image cache -> fine-tuned classifier | U-Net -> scores -> metrics: the cells of 2-class tables."""


localrules:
    draws,


rule draws:
    """The images of each few-shot draw: the same for every pre-training, published with the tables."""
    input:
        results("manifests/{dataset}/2cls_fewshot.csv"),
        results("manifests/{dataset}/2cls_fewshot.json"),
    output:
        csv=results("tables/{dataset}_draws.csv"),
        record=results("records/draws/{dataset}.json"),
    log:
        results("logs/draws/{dataset}.log"),
    params:
        fewshot=experiment.fewshot.model_dump(mode="json"),
        code=stage_code("draws"),
    script:
        "../workflow_scripts/draws.py"


rule finetune_fewshot:
    """One job trains every draw of every k, on images that are decoded once."""
    input:
        images=lambda wc: results(cell_of(wc).images),
        backbone=results(BACKBONE),
        sidecar=results(SIDECAR),
        draws=rules.draws.output.csv,
    output:
        cells=[results(RUN.replace("{run}", run)) for run in design.runs("2cls_fewshot")],
    log:
        results(f"logs/finetune/{CELL_JOB}.log"),
    benchmark:
        results(f"benchmarks/finetune/{CELL_JOB}.tsv")
    wildcard_constraints:
        setup="2cls_fewshot",
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
    params:
        setup="2cls_fewshot",
        fewshot=experiment.fewshot.model_dump(mode="json"),
        preset=experiment.preset,
        detector=detector_name,
        options=detector_options,
        geometry=detector_geometry,
        device=experiment.compute.device,
        code=lambda wc: stage_code("finetune", class_of(wc)),
    script:
        "../workflow_scripts/finetune.py"


use rule finetune_fewshot as finetune_highshot with:
    input:
        images=lambda wc: results(cell_of(wc).images),
        backbone=results(BACKBONE),
        sidecar=results(SIDECAR),
    output:
        cells=[results(RUN.replace("{run}", run)) for run in design.runs("2cls_highshot")],
    wildcard_constraints:
        setup="2cls_highshot",
    params:
        setup="2cls_highshot",
        fewshot=None,
