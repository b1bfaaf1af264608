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


def cells_of_a_job(setup):
    return [results(RUN.replace("{run}", run)) for run in design.runs(setup)]


rule finetune_fewshot:
    """One job trains every draw of every k, on images that are decoded once."""
    input:
        images=lambda wc: results(cell_of(wc).images),
        backbone=results(BACKBONE),
        sidecar=results(SIDECAR),
        draws=rules.draws.output.csv,
    output:
        cells=cells_of_a_job("2cls_fewshot"),
        record=results(f"records/finetune/{CELL_JOB}.json"),
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
        options=detector_options,
        geometry=detector_geometry,
        device=experiment.compute.device,
        code=stage_code("finetune"),
    script:
        "../workflow_scripts/finetune.py"


use rule finetune_fewshot as finetune_highshot with:
    input:
        images=lambda wc: results(cell_of(wc).images),
        backbone=results(BACKBONE),
        sidecar=results(SIDECAR),
    output:
        cells=cells_of_a_job("2cls_highshot"),
        record=results(f"records/finetune/{CELL_JOB}.json"),
    wildcard_constraints:
        setup="2cls_highshot",
    params:
        setup="2cls_highshot",
        fewshot=None,
