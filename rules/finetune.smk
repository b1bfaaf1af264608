"""Backbone + image cache -> fine-tuned classifier | U-Net -> scores -> metrics: the cells of 2-class tables."""


localrules:
    draws,


rule draws:
    """The images of each few-shot draw: the same for every pre-training, published with the tables."""
    input:
        f"{RESULTS}/manifests/{{dataset}}/2cls_fewshot.csv",
        f"{RESULTS}/manifests/{{dataset}}/2cls_fewshot.json",
    output:
        csv=f"{RESULTS}/tables/{{dataset}}_draws.csv",
        record=f"{RESULTS}/records/draws/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/draws/{{dataset}}.log",
    params:
        fewshot=experiment.fewshot.model_dump(mode="json"),
        code=stage_code("draws"),
    script:
        "../workflow_scripts/draws.py"


rule finetune_fewshot:
    """One job trains every draw of every k, on images that are decoded once."""
    input:
        images=lambda wc: f"{RESULTS}/images/{wc.dataset}/2cls_fewshot/{geometry_of(wc)}/{wc.part}.safetensors",
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        sidecar=f"{RESULTS}/manifests/{{dataset}}/2cls_fewshot.json",
        draws=f"{RESULTS}/tables/{{dataset}}_draws.csv",
    output:
        cells=two_class_cells("2cls_fewshot"),
    log:
        f"{RESULTS}/logs/finetune/{{dataset}}-2cls_fewshot-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune/{{dataset}}-2cls_fewshot-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.tsv"
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
    params:
        setup="2cls_fewshot",
        fewshot=experiment.fewshot.model_dump(mode="json"),
        preset=experiment.preset,
        detector=lambda wc: experiment.detectors[wc.detector][wc.profile].detector,
        options=lambda wc: experiment.detectors[wc.detector][wc.profile].options.model_dump(mode="json"),
        geometry=lambda wc: {
            "name": geometry_of(wc),
            **experiment.geometries[geometry_of(wc)].model_dump(mode="json"),
        },
        device=experiment.compute.device,
        code=lambda wc: stage_code("finetune", class_of(wc)),
    script:
        "../workflow_scripts/finetune.py"


use rule finetune_fewshot as finetune_highshot with:
    input:
        images=lambda wc: f"{RESULTS}/images/{wc.dataset}/2cls_highshot/{geometry_of(wc)}/{wc.part}.safetensors",
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        sidecar=f"{RESULTS}/manifests/{{dataset}}/2cls_highshot.json",
    output:
        cells=two_class_cells("2cls_highshot"),
    log:
        f"{RESULTS}/logs/finetune/{{dataset}}-2cls_highshot-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune/{{dataset}}-2cls_highshot-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.tsv"
    params:
        setup="2cls_highshot",
        fewshot=None,
