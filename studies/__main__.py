"""When does SPD help? Small networks with the term and without, paired by seed.

    SPD_DATA=/your/folder python -m studies --seeds 0-9            # hours of a core; goes on where it was
    SPD_DATA=/your/folder python -m studies --seeds 10-19          # confirms what seeds 0-9 chose
    python -m studies --report                                     # docs/mechanism.md from all runs there are

Several at once: `--part 1/4` to `--part 4/4`, in one folder of results or in several that are put together.
Runs that share a seed share the initial weights, the order of images, the strong views and the held-out
images. Seed by seed, so that all configurations have the same seeds whenever the study stops.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from studies import runs
from studies.configurations import Run, confirming, listed
from studies.measuring import Study
from studies.settings import CHOICE_SEEDS, GRIDS

RESULTS = Path("results/studies/when")


def part_of(text: str) -> tuple[int, int]:
    """`2/4` -> (2, 4). Raises ArgumentTypeError for a part that is none."""
    try:
        part, parts = map(int, text.split("/"))
        if 1 <= part <= parts:
            return part, parts
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text}: give I/N with I from 1 to N, for example 2/4")


def seeds_of(text: str) -> range:
    """`0-9` -> range(10), `3` -> range(3, 4). Raises ArgumentTypeError for what is neither."""
    try:
        first, _, last = text.partition("-")
        found = range(int(first), int(last or first) + 1)
        if found and (found.stop <= CHOICE_SEEDS.stop or found.start >= CHOICE_SEEDS.stop):
            return found
    except ValueError:
        pass
    last = CHOICE_SEEDS.stop - 1
    raise argparse.ArgumentTypeError(
        f"{text}: give seeds as 0-{last} (to choose on) or as {last + 1}-19 (to confirm on), not both at once"
    )


def waiting(study: Study, configurations: list[Run], chosen: argparse.Namespace, done: set[str]) -> list[Run]:
    """The runs that a command has to do, each with `seed` and `key`: its part, seed by seed, without what is
    finished. Says what is left out."""
    part, parts = chosen.part
    left, own, absent = [], 0, set()
    for seed in chosen.seeds:
        for place, configuration in enumerate(configurations):
            if (place + seed) % parts != part - 1:  # turned by one a seed, or a part would have one method
                continue
            if seed and configuration["method"] is None:  # weights as they are: the same for every seed
                continue
            identity = study.identity(configuration, seed)
            if identity is None:
                absent.add(configuration["corpus"])
                continue
            own += 1
            key = runs.key_of(identity)
            if key not in done:
                left.append({**configuration, "seed": seed, "key": key})
    for name in absent:
        print(f"Corpus {name} is not below SPD_DATA: its runs are left out", flush=True)
    for judge in {c["judge"] for c in left} - {None}:
        for name, reason in study.sets(judge).missing.items():
            print(f"Judged set {name} is left out: {reason}", flush=True)
    print(f"{len(left)} runs to do, {own - len(left)} done", flush=True)
    return left


def fits(run: Run, finished: list[Run], device: str, seconds_left: float) -> bool:
    """Whether a run will probably end in time: as long as the longest one of its kind on this device took, or
    for any time where none has run."""
    kind = ("scale", "start", "judge")
    alike = [f["seconds"] for f in finished if f["device"] == device and all(f[k] == run[k] for k in kind)]
    return max(alike, default=0) < seconds_left


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m studies", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds_of, help="0-9 (default): every setting; 10-19: the chosen ones")
    parser.add_argument("--only", choices=GRIDS, help="one part of the study")
    parser.add_argument("--quick", action="store_true", help="one effect: SimCLR, eta 20, magnetic tiles")
    parser.add_argument("--part", type=part_of, default=(1, 1), metavar="I/N", help="every Nth run")
    parser.add_argument("--device", default="cpu", help="cpu (default), or cuda: longer, wider networks")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no run that would end later"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"a folder (default {RESULTS})")
    parser.add_argument("--report", action="store_true", help="write docs/mechanism.md, run nothing")
    return parser  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    began = time.monotonic()
    chosen = options().parse_args(arguments)
    chosen.seeds = chosen.seeds or CHOICE_SEEDS
    if chosen.report:
        _report(chosen)
        return
    torch.set_num_threads(1)
    scale = "gpu" if chosen.device.startswith("cuda") else "cpu"
    only, finished = [chosen.only] if chosen.only else list(GRIDS), runs.load(chosen.results)
    configurations = listed(scale, only, chosen.quick)
    if chosen.seeds.start not in CHOICE_SEEDS and not chosen.quick:
        try:
            configurations = confirming(scale, only, finished)
        except ValueError as error:
            print(f"0 runs to do: {error}", flush=True)
            return
    state = {"device": runs.device_name(chosen.device), **runs.code_state()}
    writer = runs.Writer(chosen.results)
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(Path(scratch))
        left = waiting(study, configurations, chosen, {run["key"] for run in finished})
        for number, run in enumerate(left):
            seconds_left = 60 * chosen.minutes - (time.monotonic() - began)
            if not fits(run, finished, state["device"], seconds_left):
                print(f"{len(left) - number} runs are left, for which there is no time", flush=True)
                break
            result = {**run, **state, **study.run(run, run["seed"], chosen.device)}
            writer.add(result)
            finished.append(result)
            words = f"seed {run['seed']} {run['method']} {run['corpus']} {run['start'] or ''} {run['spd']}"
            print(f"{words}: {result['seconds']} s {result['failed'] or ''}", flush=True)
    if chosen.quick and chosen.part == (1, 1):
        _report(chosen)


def _report(chosen: argparse.Namespace) -> None:
    from studies import report  # matplotlib, which runs do without

    if chosen.quick:
        print(report.quick(runs.load(chosen.results)), flush=True)
    else:
        report.report(chosen.results)


if __name__ == "__main__":
    main()
