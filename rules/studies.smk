"""Questions of their own, asked of small networks on a CPU (docs/mechanism.md): no part of the default run."""


rule mechanism:
    """When does SPD help? Hours of every core given; goes on where it was stopped. `STUDY="--quick"`: a part."""
    log:
        "results/studies/mechanism.log",
    localrule: True
    threads: workflow.cores
    params:
        python=sys.executable,
        root=str(HERE),
    shell:
        "export OMP_NUM_THREADS=1 PYTHONPATH={params.root:q}; exec > >(tee {log:q}) 2>&1; "
        'study() {{ pids=; for part in $(seq {threads}); do {params.python:q} -m studies --part $part/{threads} "$@" & '
        'pids="$pids $!"; done; for pid in $pids; do wait $pid; done; }}; '
        'if [ -n "${{STUDY:-}}" ]; then study $STUDY; else study --seeds 0-9; study --seeds 10-19; fi; '
        "{params.python:q} -m studies ${{STUDY:-}} --report"
