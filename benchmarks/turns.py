"""Competitors timed in turns, so that whatever else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping


def clock_for(threads: int) -> tuple[Callable[[], float], str]:
    """The clock and its name: CPU time on one thread (deaf to other processes), wall time on more."""
    return (time.process_time, "CPU time") if threads == 1 else (time.perf_counter, "wall time")


def take_turns(
    runs: Mapping[str, Callable[[], object]], clock: Callable[[], float], repeats: int = 3
) -> dict[str, list[float]]:
    """Name -> seconds of each repeat; within a repeat everybody runs once."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            begin = clock()
            run()
            seconds[name].append(clock() - begin)
    return seconds


def ratio(peer: list[float], ours: list[float], digits: int = 1) -> str:
    """`median x (least-greatest)` of the ratios within each repeat."""
    ratios = [a / b for a, b in zip(peer, ours, strict=True)]
    low, high = min(ratios), max(ratios)
    return f"{statistics.median(ratios):.{digits}f}x ({low:.{digits}f}-{high:.{digits}f})"
