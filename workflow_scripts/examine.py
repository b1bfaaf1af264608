"""Looks at every file of a data set once, for all of its setups."""

from workflow_scripts.common.job import cpus, running

with running(snakemake) as job:
    from spd.data.examine import examine, write_examined
    from spd.data.options import DatasetOptions
    from spd.data.readers.registry import make_manifest

    name, params = snakemake.wildcards.dataset, snakemake.params
    archive = {"file": params.archive} if params.archive else None
    dataset = DatasetOptions(name=name, archive=archive, **params.dataset)
    manifests = [make_manifest(dataset, setup, params.unpacked) for setup in dataset.setups]
    write_examined(examine(manifests, workers=cpus(snakemake)), snakemake.output.examined)
    job.record(
        f"examine/{name}",
        "data sets",
        f"examine {name}",
        {"dataset": name, "setups": ", ".join(dataset.setups)},
        {"data_fingerprint": manifests[0].meta["fingerprint"]},
        metrics={"examined/images": len({row.image for manifest in manifests for row in manifest})},
    )
