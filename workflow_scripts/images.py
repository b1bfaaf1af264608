"""Decodes and resizes the images of a manifest once, for every backbone and detector."""

from urllib.parse import unquote

from workflow_scripts.common.job import cpus, running

with running(snakemake) as job:
    from spd.data.cache import ImageCache, write_cache
    from spd.data.geometry_options import GeometryOptions
    from spd.data.manifest import read

    at, geometry, manifest = snakemake.wildcards, snakemake.params.geometry, read(snakemake.input.manifest)
    write_cache(
        manifest,
        None if at.part == "all" else [unquote(at.part)],
        GeometryOptions(**geometry),
        snakemake.output.cache,
        workers=cpus(snakemake),
        sources={**manifest.meta.get("sources", {}), "images": job.provenance["code"]},
    )
    cache = ImageCache(snakemake.output.cache)
    job.record(
        f"images/{at.dataset}/{at.setup}/{at.geometry}/{at.part}",
        "images",
        f"{at.dataset} {at.setup} {at.geometry} {at.part}",
        {
            **{key: getattr(at, key) for key in ("dataset", "setup", "part")},
            **{f"geometry.{key}": value for key, value in geometry.items()},
        },
        {"split_hash": cache.split_hash},
        metrics={
            "images/objects": len(cache.objects),
            "images/count": sum(len(cache.rows(name)) for name in cache.objects),
        },
    )
