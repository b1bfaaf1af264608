"""Brings MLflow up to date with the run records."""

import os
from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    import platform
    from importlib.metadata import distributions

    import yaml

    from spd.config.model import load
    from spd.files import write_json
    from spd.report.names import Names
    from spd.report.qualitative import figures_of
    from spd.report.scored import View
    from workflow_scripts.common.tracking import CHARTS, Attachments, sync

    folder = Path(snakemake.output.synced).parent
    folder.mkdir(parents=True, exist_ok=True)
    # What the tables were made with, next to the store and in the tables' runs.
    config, environment = folder / "config.yaml", folder / "environment.txt"
    experiment = load(Path(snakemake.scriptdir).parent / "config.yaml", overrides=snakemake.config)
    config.write_text(yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    installed = sorted({f"{package.name}=={package.version}" for package in distributions()})
    head = f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    environment.write_text("\n".join([head, *installed]) + "\n", encoding="utf-8")

    def attachments(record):
        entry = {**snakemake.params.attachments.get(record, {})}
        if "/records/tables/" in record:
            entry["figures"] = [(str(config), ""), (str(environment), "")]
        elif views := entry.pop("views", None):
            entry["figures"] = [(views, "samples of views")]
        elif heat_maps := entry.pop("heat_maps", None):
            view, pretraining = heat_maps
            paths = figures_of(folder.parent / "figures", View(*view), pretraining)
            entry["figures"] = [(str(path), f"heat maps/{path.parent.name}") for path in paths]
        return Attachments(**entry)

    records = [*snakemake.input.records, *snakemake.params.linear]
    count, experiments = sync(
        records,
        folder,
        preset=snakemake.params.preset,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
        names=Names(**snakemake.params.names),
        attachments={record: attachments(record) for record in records},
    )
    job.say(f"{count['created']} runs created, {count['replaced']} replaced, {count['unchanged']} unchanged")
    if count["moved"]:
        job.say(f"the store was moved: {count['moved']} addresses of artefacts and models follow it")
    # What `make ui` opens: the first detector's runs.
    cells = [f"/{number}/runs" for name, number in experiments.items() if name.endswith(" 1cls")]
    page = f"/#/experiments{[*cells, ''][0]}{CHARTS}"
    runs = sum(count[name] for name in ("created", "replaced", "unchanged"))
    write_json(snakemake.output.synced, {"runs": runs, "open": page})
