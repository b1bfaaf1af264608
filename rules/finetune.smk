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
        dataset=lambda wc: experiment.datasets[wc.dataset].name,
        fewshot=experiment.fewshot.model_dump(mode="json"),
        code=stage_code("draws"),
    script:
        "../workflow_scripts/draws.py"


for setup in TWO_CLASS_RUNS:

    # One job trains every draw of every k, on images that are decoded once.
    rule:
        name:
            f"finetune_{setup.removeprefix('2cls_')}"
        input:
            images=lambda wc, setup=setup: f"{RESULTS}/images/{wc.dataset}/{setup}/{geometry_of(wc)}/{wc.part}.safetensors",
            backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
            sidecar=f"{RESULTS}/manifests/{{dataset}}/{setup}.json",
            draws=f"{RESULTS}/tables/{{dataset}}_draws.csv" if setup == "2cls_fewshot" else [],
        output:
            cells=[
                f"{RESULTS}/cells/{{dataset}}/{setup}/{{detector}}-{{profile}}/{{part}}/{{pretraining}}-seed{{seed}}/{run}.json"
                for run in TWO_CLASS_RUNS[setup]
            ],
            record=f"{RESULTS}/records/finetune/{{dataset}}-{setup}-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.json",
        log:
            f"{RESULTS}/logs/finetune/{{dataset}}-{setup}-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/finetune/{{dataset}}-{setup}-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.tsv"
        threads: experiment.compute.threads
        resources:
            gpu=min(1, experiment.compute.gpus),
        params:
            preset=experiment.preset,
            setup=setup,
            row=lambda wc: experiment.pretrainings[wc.pretraining].model_dump(
                mode="json", include={"label", "spd", "labels"}
            ),
            dataset=lambda wc: experiment.datasets[wc.dataset].name,
            fewshot=experiment.fewshot.model_dump(mode="json") if setup == "2cls_fewshot" else None,
            options=lambda wc: getattr(experiment.detectors, wc.detector)[wc.profile].options.model_dump(
                mode="json"
            ),
            geometry=lambda wc: {
                "name": geometry_of(wc),
                **experiment.geometries[geometry_of(wc)].model_dump(mode="json"),
            },
            device=experiment.compute.device,
            code=stage_code("finetune"),
        script:
            "../workflow_scripts/finetune.py"
