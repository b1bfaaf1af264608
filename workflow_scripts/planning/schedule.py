"""List scheduling: when jobs that need resources and each other's results would run.

Always the ready job with the longest way to the end goes first (the critical path), and whatever fits beside
it starts too. That is a schedule, not the best one: with one kind of resource, one unit a job, it takes at
most 2 - 1/m times the shortest on m units (Graham, Bounds on multiprocessing timing anomalies, 1969).
"""

import heapq
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class Job:
    """Something that takes time and resources, and disk.

    seconds: its length. needs: amount of each resource while it runs. after: jobs whose results it waits for.
    kept: bytes that it writes and that stay. temporary: bytes that go when the last job that reads them ends;
    reads: jobs, among those of `after`, whose temporary files this one reads.
    """

    seconds: float
    needs: Mapping[str, int] = field(default_factory=dict)
    after: tuple[Hashable, ...] = ()
    kept: int = 0
    temporary: int = 0
    reads: tuple[Hashable, ...] = ()


class Span(NamedTuple):
    """When a job runs, in seconds from the start of all."""

    start: float
    end: float


class ScheduleError(ValueError):
    """Jobs that no schedule can run: one is larger than the machine, or they wait for each other."""


def schedule(jobs: Mapping[Hashable, Job], capacity: Mapping[str, int]) -> dict[Hashable, Span]:
    """Starts and ends of all `jobs` on a machine that has `capacity` of each resource.

    A resource that `capacity` does not name is not limited. Ties go to the job that `jobs` lists first.
    Raises ScheduleError for a job that needs more than there is, and for jobs that wait in a circle or for
    what is no job.
    """
    for name, job in jobs.items():
        for resource, amount in job.needs.items():
            if amount > capacity.get(resource, amount):
                raise ScheduleError(f"{name}: needs {amount} {resource}, there are {capacity[resource]}")
        for other in job.after:
            if other not in jobs:
                raise ScheduleError(f"{name}: waits for {other}, which is no job")
    way = longest_ways(jobs)
    readers = _readers(jobs)
    number = {name: i for i, name in enumerate(jobs)}
    waits = {name: len(set(job.after)) for name, job in jobs.items()}
    ready = [(-way[name], number[name], name) for name in jobs if not waits[name]]
    heapq.heapify(ready)
    free = dict(capacity)
    running: list[tuple[float, int, Hashable]] = []
    spans: dict[Hashable, Span] = {}
    now = 0.0
    while ready or running:
        later = []
        while ready:
            entry = heapq.heappop(ready)
            name = entry[-1]
            needs = jobs[name].needs
            if any(amount > free.get(resource, amount) for resource, amount in needs.items()):
                later.append(entry)
                continue
            for resource in needs.keys() & free.keys():
                free[resource] -= needs[resource]
            spans[name] = Span(now, now + jobs[name].seconds)
            heapq.heappush(running, (spans[name].end, number[name], name))
        ready = later  # popped in order, so it is a heap
        now = running[0][0]
        while running and running[0][0] <= now:
            done = heapq.heappop(running)[-1]
            needs = jobs[done].needs
            for resource in needs.keys() & free.keys():
                free[resource] += needs[resource]
            for name in readers[done]:
                waits[name] -= 1
                if not waits[name]:
                    heapq.heappush(ready, (-way[name], number[name], name))
    return spans


def makespan(spans: Mapping[Hashable, Span]) -> float:
    """Seconds until the last job ends; 0 without jobs."""
    return max((span.end for span in spans.values()), default=0.0)


def longest_ways(jobs: Mapping[Hashable, Job]) -> dict[Hashable, float]:
    """Seconds from each job's start to the end of the longest chain of jobs that begins with it; a job comes
    after all that wait for it.

    Raises ScheduleError where jobs wait for each other.
    """
    readers = _readers(jobs)
    waits = {name: len(below) for name, below in readers.items()}
    last_first = [name for name, count in waits.items() if not count]
    ways: dict[Hashable, float] = {}
    for name in last_first:  # grows as it goes
        ways[name] = jobs[name].seconds + max((ways[reader] for reader in readers[name]), default=0.0)
        for other in dict.fromkeys(jobs[name].after):
            waits[other] -= 1
            if not waits[other]:
                last_first.append(other)
    if len(ways) < len(jobs):
        raise ScheduleError(f"{', '.join(str(name) for name in jobs if name not in ways)}: wait in a circle")
    return ways


def peak_bytes(jobs: Mapping[Hashable, Job], spans: Mapping[Hashable, Span]) -> int:
    """Most bytes on the disk at once: a job's files take their room from its start."""
    ends: dict[Hashable, float] = {}
    for name, job in jobs.items():
        for other in job.reads:
            ends[other] = max(ends.get(other, 0.0), spans[name].end)
    changes: list[tuple[float, int]] = []
    for name, job in jobs.items():
        if job.kept or job.temporary:
            changes.append((spans[name].start, job.kept + job.temporary))
        if job.temporary:
            changes.append((ends.get(name, spans[name].end), -job.temporary))
    held = most = 0
    for _, change in sorted(changes):  # at the same time what goes, goes first
        held += change
        most = max(most, held)
    return most


def _readers(jobs: Mapping[Hashable, Job]) -> dict[Hashable, list[Hashable]]:
    found: dict[Hashable, list[Hashable]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for other in dict.fromkeys(job.after):
            if other in found:
                found[other].append(name)
    return found


def total(jobs: Iterable[Job], resource: str) -> float:
    """Seconds of one unit of a resource that jobs take together."""
    return sum(job.seconds * job.needs.get(resource, 0) for job in jobs)
