"""Decodes the pre-training images once into one memory map."""

from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake):
    import json

    from spd.data.corpus import pack
    from spd.data.manifest import read
    from spd.training.batches import too_large
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    manifest, size = read(snakemake.input.manifest), snakemake.params.size
    # Before an hour of decoding, and before any training starts.
    counts = manifest.counts().set_index("object").to_dict("index")
    asked = json.loads(snakemake.resources.get("batches", "{}"))
    if found := list(too_large(asked, counts)):
        raise ValueError("\n".join(found))
    code = code_version(Path(snakemake.scriptdir) / "corpus.py")
    sources = {"corpus manifest": manifest.meta["sources"]["manifest"], "corpus": code["code"]}
    pack(manifest, size, snakemake.output.corpus, workers=cpus(snakemake), sources=sources)
    write_record(
        snakemake.output.record,
        key=f"corpus/{snakemake.params.dataset}",
        experiment="data sets",
        name=f"corpus {snakemake.params.dataset}",
        params={"dataset": snakemake.params.dataset, "size": size, "split_hash": manifest.split_hash},
        metrics={
            "corpus/images": len(manifest),
            "corpus/bytes": Path(snakemake.output.corpus).stat().st_size,
        },
        provenance={"data_fingerprint": manifest.meta["fingerprint"], **code},
    )
