"""Decodes and resizes the images of a manifest once, for every backbone and detector."""

from pathlib import Path
from urllib.parse import unquote

from workflow_scripts.common.job import cpus, running

with running(snakemake):
    from spd.data.cache import ImageCache, write_cache
    from spd.data.geometry_options import GeometryOptions
    from spd.data.manifest import read
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    at = snakemake.wildcards
    code = code_version(Path(snakemake.scriptdir) / "images.py")
    manifest = read(snakemake.input.manifest)
    write_cache(
        manifest,
        None if at.part == "all" else [unquote(at.part)],
        GeometryOptions(**snakemake.params.geometry),
        snakemake.output.cache,
        workers=cpus(snakemake),
        sources={**manifest.meta.get("sources", {}), "images": code["code"]},
    )
    cache = ImageCache(snakemake.output.cache)
    write_record(
        snakemake.output.record,
        key=f"images/{at.dataset}/{at.setup}/{at.geometry}/{at.part}",
        experiment="images",
        name=f"{at.dataset} {at.setup} {at.geometry} {at.part}",
        params={
            "dataset": at.dataset,
            "setup": at.setup,
            "part": at.part,
            **{f"geometry.{key}": value for key, value in snakemake.params.geometry.items()},
        },
        metrics={
            "images/objects": len(cache.objects),
            "images/count": sum(len(cache.rows(name)) for name in cache.objects),
        },
        provenance={"split_hash": cache.split_hash, **code},
    )
