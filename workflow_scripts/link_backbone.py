"""Links the backbone that the config asks for under its row's name; the links are relative: folders move."""

import os
from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    record, output = Path(snakemake.input.record), snakemake.output
    targets = {
        output.backbone: record.with_suffix(".safetensors"),
        output.history: record.with_suffix(".history.jsonl"),
        output.record: record,
    }
    if gone := [str(target) for target in targets.values() if not target.exists()]:
        raise ValueError(
            f"{', '.join(gone)}: gone, though {record} says that it was trained; put it back, or delete the "
            "record and it is trained again"
        )
    for link, target in targets.items():
        Path(link).symlink_to(os.path.relpath(target, Path(link).parent))
    os.utime(record.parent)  # when it was last asked for: workflow_scripts.common.kept
