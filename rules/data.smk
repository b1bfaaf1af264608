"""Archives -> unpacked -> manifest -> image cache."""


localrules:
    absent,
    download,


rule absent:
    """A file or folder of yours that is not there: a dry run shows it, any other run stops."""
    output:
        "{file}",
    wildcard_constraints:
        file=pattern(ABSENT),
    message:
        "{output} is not there, and nothing can make it"


rule demo_archive:
    """Generated archives in the layouts of VisA, MVTec-AD and class-folder ImageNet."""
    output:
        archive="data/demo/{folder}/{archive}",
        # Presets share archives, so their records lie next to them.
        record="data/demo/{folder}/{archive}.json",
    log:
        results("logs/demo_archive/{folder}-{archive}.log"),
    wildcard_constraints:
        folder=r"[A-Za-z0-9_.]+",
        archive=r"visa\.tar|mvtec\.tar\.xz|classes\.tar",
    params:
        options=experiment.demo_data.model_dump(mode="json"),
        code=stage_code("demo_archive"),
    script:
        "../workflow_scripts/demo_archive.py"


rule download:
    """Published archives and weights; one placed by hand is accepted when its hash is right.

    The file itself is no output: Snakemake deletes outputs before it runs a rule again, and a download of
    gigabytes must survive a changed config and a failed job. The output says that its hash was right.
    """
    output:
        "{archive}.verified",
    log:
        results("logs/download/{archive}.log"),
    wildcard_constraints:
        archive=pattern(external.downloads),
    resources:
        # Not a param: a link that moves makes no verified file wrong.
        url=lambda wc: external.downloads[wc.archive].url,
    params:
        archive=lambda wc: external.downloads[wc.archive].model_dump(
            mode="json", include={"file", "bytes", "sha256"}
        ),
        code=stage_code("download"),
    script:
        "../workflow_scripts/download.py"


rule unpack:
    input:
        lambda wc: external.ready(archive_at(wc)),
    output:
        # The record, next to the folder: Snakemake deletes outputs before it runs a rule again, and the
        # folder's own inventory tells `unpack` that the folder is ours to replace.
        "{folder}.json",
    log:
        results("logs/unpack/{folder}.log"),
    wildcard_constraints:
        folder=pattern(external.unpacked.values()),
    params:
        archive=archive_at,
        options=lambda wc: experiment.datasets[external.unpacked_from(wc.folder)].archive.model_dump(
            mode="json", include={"sha256", "nested", "limits"}
        ),
        code=stage_code("unpack"),
    script:
        "../workflow_scripts/unpack.py"


rule examine:
    """Look at each file once, however many setups list it."""
    input:
        inventory,
    output:
        examined=results(EXAMINED),
        record=results("records/examined/{dataset}.json"),
    log:
        results("logs/examine/{dataset}.log"),
    threads: experiment.compute.threads
    params:
        dataset=lambda wc: read_by(wc.dataset, experiment.datasets[wc.dataset].setups),
        archive=lambda wc: external.archives.get(wc.dataset),
        unpacked=lambda wc: external.unpacked.get(wc.dataset),
        fingerprint=lambda wc: external.state(wc.dataset),
        code=stage_code("examine"),
    script:
        "../workflow_scripts/examine.py"


rule manifest:
    """One CSV for each setup: from here on nothing asks which data set it is."""
    input:
        inventory=inventory,
        examined=results(EXAMINED),
    output:
        csv=results(MANIFEST),
        sidecar=results(SIDECAR),
        checks=results("manifests/{dataset}/{setup}.checks.txt"),
        record=results(MANIFEST_RECORD),
    log:
        results("logs/manifest/{dataset}-{setup}.log"),
    params:
        dataset=lambda wc: {
            **read_by(wc.dataset, [wc.setup]),
            **experiment.datasets[wc.dataset].model_dump(mode="json", include={"checks", "accept"}),
        },
        archive=lambda wc: external.archives.get(wc.dataset),
        unpacked=lambda wc: external.unpacked.get(wc.dataset),
        fingerprint=lambda wc: external.state(wc.dataset),
        code=stage_code("manifest"),
    script:
        "../workflow_scripts/manifest.py"


rule images:
    """Decode and resize each image once; every backbone, detector and seed reads this cache."""
    input:
        manifest=results(MANIFEST),
        sidecar=results(SIDECAR),
    output:
        cache=results(IMAGES),
        record=results(f"records/images/{IMAGES_JOB}.json"),
    log:
        results(f"logs/images/{IMAGES_JOB}.log"),
    threads: experiment.compute.threads
    params:
        geometry=lambda wc: experiment.geometries[wc.geometry].model_dump(mode="json"),
        code=stage_code("images"),
    script:
        "../workflow_scripts/images.py"
