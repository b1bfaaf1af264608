"""Draws samples of the views that each pre-training sees."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from tqdm import tqdm

    from spd.data.corpus import open_packed
    from spd.data.manifest import read
    from spd.methods.options import SPDOptions, parse_recipe
    from spd.methods.sheet import render_first_step
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    images = open_packed(snakemake.input.corpus, read(snakemake.input.manifest))
    pairs = zip(snakemake.output.sheets, snakemake.params.pretrainings, strict=True)
    for path, entry in tqdm(list(pairs), desc="views", unit="pre-training"):
        recipe, spd = parse_recipe(entry["recipe"]), SPDOptions(**entry["spd"])
        render_first_step(images, recipe, spd, path, seed=entry["seed"])
    write_record(
        snakemake.output.record,
        key="views",
        experiment="pictures",
        name="views",
        params={"pretrainings": len(snakemake.output.sheets)},
        metrics={},
        provenance=code_version(Path(snakemake.scriptdir) / "views.py"),
    )
