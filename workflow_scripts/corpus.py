"""Decodes the pre-training images once into one memory map."""

import json
from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake) as job:
    from spd.data.corpus import pack
    from spd.data.manifest import read
    from spd.training.batches import too_large

    manifest, dataset, size = read(snakemake.input.manifest), snakemake.params.dataset, snakemake.params.size
    # Before an hour of decoding, and before any training starts.
    counts = manifest.counts().set_index("object").to_dict("index")
    batches = json.loads(snakemake.resources.get("batches", "{}"))
    if problems := list(too_large(batches, counts)):
        raise ValueError("\n".join(problems))
    sources = {"corpus manifest": manifest.meta["sources"]["manifest"], "corpus": job.provenance["code"]}
    pack(manifest, size, snakemake.output.corpus, workers=cpus(snakemake), sources=sources)
    job.record(
        f"corpus/{dataset}",
        "data sets",
        f"corpus {dataset}",
        {"dataset": dataset, "size": size, "split_hash": manifest.split_hash},
        {"data_fingerprint": manifest.meta["fingerprint"]},
        metrics={
            "corpus/images": len(manifest),
            "corpus/bytes": Path(snakemake.output.corpus).stat().st_size,
        },
    )
