"""One line for each finished step, with a bar and the time left, in place of Snakemake's three."""

from workflow_scripts.common.progress_log import show_progress

# Seconds of a job of preset demo on one core of two.
EXPECTED = {
    **dict.fromkeys(["all", "tables"], 0),
    **dict.fromkeys(experiment.tables, 2),
    **{"demo_archive": 12, "unpack": 1, "examine": 3, "manifest": 1, "images": 2, "corpus": 4, "views": 12},
    **{"pretrain": 30, "link_backbone": 1, "import_backbone": 6, "features": 8, "detect": 10, "draws": 1},
    **{"finetune_fewshot": 18, "finetune_highshot": 14, "dataset_overview": 2, "claims": 2},
    **{"qualitative": 40, "site": 4, "mlflow_sync": 30},
}

if workflow.is_main_process:
    show_progress(logger.handlers, EXPECTED if experiment.preset in ("demo", "tiny") else {})
