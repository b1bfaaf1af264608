"""Draws samples of the views that each pre-training sees."""

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from tqdm import tqdm

    from spd.data.corpus import open_packed
    from spd.data.manifest import read
    from spd.methods.options import METHODS, SPDOptions, parse_recipe
    from spd.methods.sheet import render_first_step

    files, sheets = snakemake.input, snakemake.output.sheets
    images = open_packed(files.corpus, read(files.manifest))
    pairs = zip(sheets, snakemake.params.pretrainings, strict=True)
    for path, entry in tqdm(list(pairs), desc="views", unit="pre-training"):
        recipe, spd = parse_recipe(entry["recipe"]), SPDOptions(**entry["spd"])
        render_first_step(images, recipe, spd, path, seed=entry["seed"])
    job.sources += sorted(
        {METHODS[entry["recipe"]["method"]].path for entry in snakemake.params.pretrainings}
    )
    job.record("views", "pictures", "views", {"pretrainings": len(sheets)})
