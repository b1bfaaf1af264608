"""Schedules against every other order of the jobs, and against what any schedule must keep to."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.planning.schedule import (
    Job,
    ScheduleError,
    Span,
    longest_ways,
    makespan,
    peak_bytes,
    schedule,
    total,
)

CAPACITY = {"gpu": 3, "cpus": 4}


@st.composite
def dags(draw, most=12, needs=None):
    """Jobs 0..n-1, each after some of the earlier ones."""
    found = {}
    for i in range(draw(st.integers(1, most))):
        after = draw(st.sets(st.integers(0, i - 1))) if i else ()
        wants = needs or {name: draw(st.integers(0, amount)) for name, amount in CAPACITY.items()}
        found[i] = Job(
            draw(st.integers(0, 5)),
            wants,
            tuple(after),
            kept=draw(st.integers(0, 3)),
            temporary=draw(st.integers(0, 3)),
            reads=tuple(j for j in after if draw(st.booleans())),
        )
    return found


def used(jobs, spans, resource, at):
    """Units in use just after a moment."""
    return sum(jobs[i].needs.get(resource, 0) for i, span in spans.items() if span.start <= at < span.end)


def in_order(jobs, order, units):
    """Makespan when each job of `order` starts as early as it can, without moving those before it."""
    spans = {}
    for i in order:
        at = max((spans[other].end for other in jobs[i].after), default=0)
        times = sorted({at, *(span.end for span in spans.values() if span.end > at)})
        at = next(
            t
            for t in times
            if all(
                used(jobs, spans, "gpu", s) < units
                for s in [t, *(span.start for span in spans.values() if t < span.start < t + jobs[i].seconds)]
            )
        )
        spans[i] = Span(at, at + jobs[i].seconds)
    return makespan(spans)


@given(dags())
@settings(deadline=None)
def test_a_schedule_keeps_to_dependencies_and_capacity_and_leaves_nothing_idle(jobs):
    spans = schedule(jobs, CAPACITY)
    assert spans.keys() == jobs.keys()
    for i, job in jobs.items():
        assert spans[i].end == spans[i].start + job.seconds
        assert all(spans[other].end <= spans[i].start for other in job.after)
    moments = sorted({time for span in spans.values() for time in span})
    for at in moments:
        assert all(used(jobs, spans, resource, at) <= amount for resource, amount in CAPACITY.items())
        for i, job in jobs.items():  # nobody could have started here
            able = spans[i].start > at and all(spans[other].end <= at for other in job.after)
            fits = all(used(jobs, spans, r, at) + job.needs[r] <= amount for r, amount in CAPACITY.items())
            assert not (able and fits), f"{i} waits at {at}"


@given(dags())
@settings(deadline=None)
def test_no_schedule_is_shorter_than_its_longest_chain_or_its_work(jobs):
    length = makespan(schedule(jobs, CAPACITY))
    assert length >= max(longest_ways(jobs).values())
    assert all(length >= total(jobs.values(), r) / amount - 1e-9 for r, amount in CAPACITY.items())


@given(dags(most=5, needs={"gpu": 1}), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_within_grahams_bound_of_the_best_of_all_orders(jobs, units):
    orders = [
        order
        for order in permutations(jobs)
        if all(order.index(other) < order.index(i) for i in jobs for other in jobs[i].after)
    ]
    best = min(in_order(jobs, order, units) for order in orders)
    assert best <= makespan(schedule(jobs, {"gpu": units})) <= (2 - 1 / units) * best + 1e-9


def chains(jobs, i):
    """Every chain of jobs that begins with i."""
    below = [j for j in jobs if i in jobs[j].after]
    return [[i, *rest] for j in below for rest in chains(jobs, j)] or [[i]]


@given(dags(most=8))
@settings(deadline=None)
def test_longest_ways_are_the_longest_of_all_chains(jobs):
    assert longest_ways(jobs) == {
        i: max(sum(jobs[j].seconds for j in chain) for chain in chains(jobs, i)) for i in jobs
    }


@given(dags())
@settings(deadline=None)
def test_peak_is_the_most_of_all_moments(jobs):
    spans = schedule(jobs, CAPACITY)

    def held(at):
        kept = sum(job.kept for i, job in jobs.items() if spans[i].start <= at)
        for i, job in jobs.items():
            ends = [spans[j].end for j in jobs if i in jobs[j].reads]
            kept += job.temporary * (spans[i].start <= at < max(ends, default=spans[i].end))
        return kept

    assert peak_bytes(jobs, spans) == max(held(span.start) for span in spans.values())


@pytest.mark.parametrize(("units", "hours"), [(1, 16), (8, 2), (16, 1), (64, 1)])
def test_equal_jobs_without_order_take_whole_rounds(units, hours):
    jobs = {i: Job(3600, {"gpu": 1}) for i in range(16)}
    assert makespan(schedule(jobs, {"gpu": units})) == 3600 * hours


def test_the_longest_way_goes_first_and_what_fits_beside_starts_too():
    jobs = {
        "short": Job(1, {"gpu": 1}),
        "long": Job(2, {"gpu": 1}),
        "after": Job(5, {}, ("long",)),
        "wide": Job(1, {"gpu": 2}),
        "no gpu": Job(1),
    }
    spans = schedule(jobs, {"gpu": 2})
    assert spans["long"].start == spans["short"].start == spans["no gpu"].start == 0
    assert spans["wide"].start == spans["after"].start == 2


def test_what_cannot_run_is_named():
    with pytest.raises(ScheduleError, match="big: needs 8 gpu, there are 1"):
        schedule({"big": Job(1, {"gpu": 8})}, {"gpu": 1})
    with pytest.raises(ScheduleError, match="a, b: wait in a circle"):
        schedule({"a": Job(1, after=("b",)), "b": Job(1, after=("a",)), "c": Job(1)}, {})
    with pytest.raises(ScheduleError, match="a: waits for b, which is no job"):
        schedule({"a": Job(1, after=("b",))}, {})


def test_nothing_takes_no_time():
    assert makespan(schedule({}, {"gpu": 1})) == 0 == peak_bytes({}, {})
