"""Prints what was found in each data set, and what the publications state."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    import pandas as pd

    from spd.data.manifest import read
    from spd.data.overview import overview, require_stated, totals
    from spd.report.tables import write_overview

    options, datasets = snakemake.params.overview, snakemake.params.datasets
    frames, lines, findings = [], [], []
    for path in snakemake.input.manifests:
        dataset = datasets[Path(path).parent.name]
        manifest = read(path)
        frame = overview(manifest, dataset["facts"], dataset["objects"])
        if dataset["facts"] is not None:
            require_stated(frame)
        frames.append(frame.assign(dataset=dataset["name"]))
        if kinds := manifest.meta.get("findings"):
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            checks = Path(path).with_suffix(".checks.txt")
            findings.append(f"{dataset['name']} {Path(path).stem}: the checks found {counts} ({checks}).")
        lines.append(f"{dataset['name']} {Path(path).stem}: {totals(frame)}")
    job.say("\n    ".join(["images found:", *lines]))
    write_overview(
        pd.concat(frames, ignore_index=True),
        "dataset_overview",
        Path(snakemake.output[0]).parent,
        title=options["title"],
        caption=options["caption"],
        preset=snakemake.params.preset,
        notes=[*(f"{entry['name']}: {entry['licence']}" for entry in datasets.values()), *findings],
    )
    params, files = {"title": options["title"]}, snakemake.output[:-1]
    job.record("table/dataset_overview", "tables", "dataset_overview", params, artifacts=files)
