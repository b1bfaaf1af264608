"""Backbone + image cache -> feature maps, shared by every detector that reads them."""


rule features:
    input:
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        images=f"{RESULTS}/images/{{dataset}}/{{setup}}/{{geometry}}/{{part}}.safetensors",
    output:
        features=kept(
            f"{RESULTS}/features/{{dataset}}/{{setup}}/{{geometry}}/{{part}}/{{pretraining}}-seed{{seed}}.safetensors"
        ),
        record=f"{RESULTS}/records/features/{{dataset}}-{{setup}}-{{geometry}}-{{part}}-{{pretraining}}-seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/features/{{dataset}}-{{setup}}-{{geometry}}-{{part}}-{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{dataset}}-{{setup}}-{{geometry}}-{{part}}-{{pretraining}}-seed{{seed}}.tsv"
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
    params:
        stages=lambda wc: stages(wc.pretraining),
        options=experiment.features.model_dump(mode="json"),
        device=experiment.compute.device,
        code=stage_code("features"),
    script:
        "../workflow_scripts/features.py"
