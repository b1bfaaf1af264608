"""Looks at every file of a data set once, for all of its setups."""

from job import cpus, running

with running(snakemake):
    from spd.datasets.examine import examine, write_examined
    from spd.datasets.options import DatasetOptions
    from spd.datasets.registry import make_manifest

    dataset = DatasetOptions(**snakemake.params.dataset)
    manifests = [make_manifest(dataset, setup, snakemake.params.unpacked) for setup in dataset.setups]
    write_examined(examine(manifests, workers=cpus(snakemake)), snakemake.output[0])
