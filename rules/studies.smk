"""Questions of their own, asked of small networks on a CPU (docs/mechanism.md): no part of the default run."""


rule mechanism:
    """Does the SPD term do what it says? Hours of one core; goes on where it was stopped."""
    log:
        "results/studies/mechanism.log",
    localrule: True
    params:
        python=sys.executable,
        root=str(HERE),
    shell:
        "export OMP_NUM_THREADS=1 PYTHONPATH={params.root:q}; exec > >(tee {log:q}) 2>&1; "
        "{params.python:q} -m studies.mechanism; "
        'if [ -d "${{SPD_DATA:-}}/magnetic_tile" ]; then {params.python:q} -m studies.continued; fi; '
        "{params.python:q} -m studies.mechanism --report"
