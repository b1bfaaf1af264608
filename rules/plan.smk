"""What the whole experiment would take; nothing is run and nothing is kept but this log."""


rule plan:
    """Jobs of each stage, GPU-hours, wall time for G GPUs, peak disk and price, before anything runs."""
    log:
        results("logs/plan.log"),
    localrule: True
    params:
        snakefile=str(HERE / "Snakefile"),
    script:
        "../workflow_scripts/plan.py"
