"""One run at a time in a results folder; what a killed run leaves locked is unlocked by the next.

Snakemake's own lock is a list of files that outlives its owner, and the first of two runs to end deletes both
lists. Ours is an flock, which ends with its owner. Jobs hold one more each (workflow_scripts/common/job.py), for the
case that only their parent was killed.
"""

from workflow_scripts.common import locks

LOCKS = Path(".snakemake/spd")
RUN_LOCK = LOCKS / f"{experiment.preset}.run"
HELD = []  # for as long as this process lives: an onstart block is a function, whose own names go with it


def unlock_after_the_dead():
    """Removes Snakemake's lock where its run has died here; says whose it is where it must stay."""
    left = sorted(Path(".snakemake/locks").glob("*.lock"))
    if not left or not workflow.is_main_process:
        return
    runs = {path: locks.owner(path) for path in LOCKS.glob("*.run")}
    for last, alive in filter(None, runs.values()):
        if alive:
            print(f"Locked: {locks.name(last)} runs preset {last.get('preset')} here.", file=sys.stderr)
            return
        if last.get("remote") and any(_names(path, f"results/{last.get('preset')}/") for path in left):
            print(
                f"Locked by {locks.name(last)}, which has died; its cluster jobs may live. Wait for them or "
                "cancel them (`slurm/cancel.sh`), then run `snakemake --unlock`.",
                file=sys.stderr,
            )
            return
        if last.get("host") not in (None, socket.gethostname()):
            print(f"Locked by {locks.name(last)}; ask there, then run `snakemake --unlock`.", file=sys.stderr)
            return
    if any(runs.values()):
        for path in left:
            path.unlink(missing_ok=True)
        print("A killed run had left this folder locked; unlocked.", file=sys.stderr)


def _names(lock, folder):
    return folder in lock.read_text(errors="replace")


def hold_results():
    """Takes the lock of this preset's results until this process ends, or stops before any job."""
    try:
        HELD.append(locks.acquire(RUN_LOCK, preset=experiment.preset, remote=workflow.non_local_exec))
    except locks.Held as held:
        raise WorkflowError(
            f"{RESULTS}: {locks.name(held.owner)} is making it; wait for it, or end it first"
        ) from None


unlock_after_the_dead()
