"""Features -> PaDiM | PatchCore -> scores and maps -> metrics: one cell."""


rule detect:
    input:
        images=lambda wc: results(cell_of(wc).images),
        features=lambda wc: results(cell_of(wc).features),
        backbone=results(BACKBONE),
        sidecar=results(SIDECAR),
    output:
        cell=results(CELL),
        maps=results(MAPS),
    log:
        results(f"logs/detect/{CELL_JOB}.log"),
    benchmark:
        results(f"benchmarks/detect/{CELL_JOB}.tsv")
    priority: 1  # before further features are made, so that temporary ones go soon
    threads: experiment.compute.threads
    resources:
        # Not a param: where features are copied to changes no number.
        scratch=experiment.compute.scratch or "",
    params:
        preset=experiment.preset,
        detector=detector_name,
        options=detector_options,
        geometry=detector_geometry,
        code=lambda wc: stage_code("detect", class_of(wc)),
    script:
        "../workflow_scripts/detect.py"
