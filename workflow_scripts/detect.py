"""Fits a detector on each object, scores its test images, measures: one cell of the tables."""

from workflow_scripts.common.job import running
from workflow_scripts.common.staging import staged

with running(snakemake) as job:
    from spd.detectors.evaluation import METRIC, evaluate
    from spd.detectors.registry import DETECTORS
    from spd.detectors.results import Cell
    from spd.features.store import Features
    from workflow_scripts.common.cells import described

    params, files = snakemake.params, snakemake.input
    detector = DETECTORS[params.detector]
    job.sources.append(detector.path)
    options = detector.options(**params.options)
    with staged(files.features, snakemake.resources.get("scratch")) as features:
        objects = evaluate(params.detector, options, files.images, features, snakemake.output.maps)
    run = described(
        snakemake,
        job,
        setup=snakemake.wildcards.setup,
        label=detector.label,
        metric=METRIC,
        sources=Features(files.features).sources,
    )
    Cell(**run, objects=objects).write(snakemake.output.cell)
