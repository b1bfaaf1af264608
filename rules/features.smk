"""Backbone + image cache -> feature maps, shared by every detector that reads them."""


rule features:
    input:
        backbone=results(BACKBONE),
        images=results(IMAGES),
    output:
        features=results(FEATURES) if experiment.compute.keep_features else temp(results(FEATURES)),
        record=results(f"records/features/{FEATURES_JOB}.json"),
    log:
        results(f"logs/features/{FEATURES_JOB}.log"),
    benchmark:
        results(f"benchmarks/features/{FEATURES_JOB}.tsv")
    threads: experiment.compute.threads
    resources:
        gpu=min(1, experiment.compute.gpus),
    params:
        stages=lambda wc: list(experiment.stages(wc.pretraining)),
        options=experiment.features.model_dump(mode="json"),
        device=experiment.compute.device,
        code=stage_code("features"),
    script:
        "../workflow_scripts/features.py"
