"""Writes the images of every few-shot draw of a data set."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.data.manifest import read
    from spd.detectors.finetuned.draws import write_draws
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    dataset, fewshot = snakemake.wildcards.dataset, snakemake.params.fewshot
    manifest = read(snakemake.input[0])
    write_draws(manifest, fewshot["shots"], fewshot["draws"], snakemake.output.csv)
    write_record(
        snakemake.output.record,
        key=f"draws/{dataset}",
        experiment="data sets",
        name=f"{dataset} few-shot draws",
        params={"dataset": dataset, **fewshot, "split_hash": manifest.split_hash},
        metrics={},
        provenance={
            "data_fingerprint": manifest.meta["fingerprint"],
            **code_version(Path(snakemake.scriptdir) / "draws.py"),
        },
        artifacts=(snakemake.output.csv,),
    )
