"""Writes the images of every few-shot draw of a data set."""

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.data.manifest import read
    from spd.detectors.finetuned.draws import write_draws

    dataset, fewshot = snakemake.wildcards.dataset, snakemake.params.fewshot
    manifest = read(snakemake.input[0])
    write_draws(manifest, fewshot["shots"], fewshot["draws"], snakemake.output.csv)
    job.record(
        f"draws/{dataset}",
        "data sets",
        f"{dataset} few-shot draws",
        {"dataset": dataset, **fewshot, "split_hash": manifest.split_hash},
        {"data_fingerprint": manifest.meta["fingerprint"]},
        artifacts=[snakemake.output.csv],
    )
