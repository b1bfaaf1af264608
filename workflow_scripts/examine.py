"""Looks at every file of a data set once, for all of its setups."""

from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake):
    from spd.data.examine import examine, write_examined
    from spd.data.options import DatasetOptions
    from spd.data.readers.registry import make_manifest
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    name, params = snakemake.wildcards.dataset, snakemake.params
    archive = {"file": params.archive} if params.archive else None
    dataset = DatasetOptions(name=name, archive=archive, **params.dataset)
    manifests = [make_manifest(dataset, setup, params.unpacked) for setup in dataset.setups]
    write_examined(examine(manifests, workers=cpus(snakemake)), snakemake.output.examined)
    write_record(
        snakemake.output.record,
        key=f"examine/{name}",
        experiment="data sets",
        name=f"examine {name}",
        params={"dataset": name, "setups": ", ".join(dataset.setups)},
        metrics={"examined/images": len({row.image for manifest in manifests for row in manifest})},
        provenance={
            "data_fingerprint": manifests[0].meta["fingerprint"],
            **code_version(Path(snakemake.scriptdir) / "examine.py"),
        },
    )
