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

    name, setup, given = snakemake.wildcards.dataset, snakemake.wildcards.setup, snakemake.params
    archive = {"file": given.archive} if given.archive else None
    dataset = DatasetOptions(name=name, archive=archive, **given.dataset)
    manifest = make_manifest(dataset, setup, given.unpacked)
    manifest.meta["sources"] = {"manifest": job.provenance["code"]}
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
        if finding.kind == TOO_FEW:  # a table will lack it: said now, not in the table alone
            job.say(str(finding))
    Path(snakemake.output.checks).write_text(report.text() + "\n", encoding="utf-8")
    write(manifest, snakemake.output.csv)
    counts = manifest.counts().drop(columns="object").sum()
    params = {"dataset": name, "setup": setup, "split_hash": manifest.split_hash}
    if accepted := report.let_through():
        params["let_through"] = accepted
    job.record(
        f"manifest/{name}/{setup}",
        "data sets",
        f"{name} {setup}",
        params,
        {"data_fingerprint": manifest.meta["fingerprint"]},
        metrics={
            **{f"images/{kind}": int(count) for kind, count in counts.items()},
            "checks/accepted": len(report.accepted),
            "checks/warnings": len(report.warnings),
        },
        artifacts=[snakemake.output.csv],
    )
