"""Features -> PaDiM | PatchCore -> scores and maps -> metrics: one cell."""


rule detect:
    input:
        images=lambda wc: f"{RESULTS}/images/{wc.dataset}/{wc.setup}/{geometry_of(wc)}/{wc.part}.safetensors",
        features=lambda wc: f"{RESULTS}/features/{wc.dataset}/{wc.setup}/{geometry_of(wc)}/{wc.part}/{wc.pretraining}-seed{wc.seed}.safetensors",
        backbone=f"{RESULTS}/backbones/{{pretraining}}/seed{{seed}}.safetensors",
        sidecar=f"{RESULTS}/manifests/{{dataset}}/{{setup}}.json",
    output:
        cell=f"{RESULTS}/cells/{{dataset}}/{{setup}}/{{detector}}-{{profile}}/{{part}}/{{pretraining}}-seed{{seed}}.json",
        maps=f"{RESULTS}/maps/{{dataset}}/{{setup}}/{{detector}}-{{profile}}/{{part}}/{{pretraining}}-seed{{seed}}.safetensors",
    log:
        f"{RESULTS}/logs/detect/{{dataset}}-{{setup}}-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/detect/{{dataset}}-{{setup}}-{{detector}}-{{profile}}-{{part}}-{{pretraining}}-seed{{seed}}.tsv"
    priority: 1  # before further features are made, so that temporary ones go soon
    threads: experiment.compute.threads
    resources:
        # Not a param: where features are copied to changes no number.
        scratch=experiment.compute.scratch or "",
    params:
        preset=experiment.preset,
        detector=lambda wc: experiment.detectors[wc.detector][wc.profile].detector,
        options=lambda wc: experiment.detectors[wc.detector][wc.profile].options.model_dump(mode="json"),
        geometry=lambda wc: {
            "name": geometry_of(wc),
            **experiment.geometries[geometry_of(wc)].model_dump(mode="json"),
        },
        code=lambda wc: stage_code("detect", class_of(wc)),
    script:
        "../workflow_scripts/detect.py"
