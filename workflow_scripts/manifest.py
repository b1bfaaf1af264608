"""Reads one setup of a data set into its manifest, and judges what its files show."""

from collections import Counter
from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.data.checks import TOO_FEW, check, require_listed
    from spd.data.examine import read_examined
    from spd.data.manifest import write
    from spd.data.options import DatasetOptions
    from spd.data.readers.registry import make_manifest
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    name, setup, params = snakemake.wildcards.dataset, snakemake.wildcards.setup, snakemake.params
    code = code_version(Path(snakemake.scriptdir) / "manifest.py")
    archive = {"file": params.archive} if params.archive else None
    dataset = DatasetOptions(name=name, archive=archive, **params.dataset)
    manifest = make_manifest(dataset, setup, params.unpacked)
    manifest.meta["sources"] = {"manifest": code["code"]}
    examined = read_examined(snakemake.input.examined)
    require_listed(dataset.accept, examined, key=f"datasets.{name}")
    report = check(manifest, examined).accepting(dataset.checks, dataset.accept)
    report.require_sound(f"{name} {setup}", key=f"datasets.{name}")
    for word, findings in (("accepted", report.accepted), ("warnings", report.warnings)):
        if findings:
            kinds = ", ".join(f"{kind} {n}" for kind, n in Counter(f.kind for f in findings).items())
            job.say(f"{len(findings)} {word} ({kinds}), see {snakemake.output.checks}")
    if report.counts():
        manifest.meta["findings"] = report.counts()
    for finding in report.warnings:
        if finding.kind == TOO_FEW:  # a table lacks it, which no one shall learn from the table
            job.say(str(finding))
    Path(snakemake.output.checks).write_text(report.text() + "\n", encoding="utf-8")
    write(manifest, snakemake.output.csv)
    counts = manifest.counts().drop(columns="object").sum()
    write_record(
        snakemake.output.record,
        key=f"manifest/{name}/{setup}",
        experiment="data sets",
        name=f"{name} {setup}",
        params={
            "dataset": name,
            "setup": setup,
            "split_hash": manifest.split_hash,
            **({"let_through": told} if (told := report.let_through()) else {}),
        },
        metrics={
            **{f"images/{kind}": int(count) for kind, count in counts.items()},
            "checks/accepted": len(report.accepted),
            "checks/warnings": len(report.warnings),
        },
        provenance={"data_fingerprint": manifest.meta["fingerprint"], **code},
        artifacts=(snakemake.output.csv,),
    )
