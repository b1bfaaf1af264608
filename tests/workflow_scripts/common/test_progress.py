import doctest
import random

import pytest

from workflow_scripts.common import progress
from workflow_scripts.common.progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def simulated(seconds, *, cores, expected=None, seed=0):
    """Runs jobs (rule -> seconds of each) on `cores`; after each: seconds left in truth, and estimated."""
    clock = Clock()
    jobs = [(rule, each) for rule, durations in seconds.items() for each in durations]
    random.Random(seed).shuffle(jobs)
    shown = Progress(expected or {}, clock)
    shown.planned({rule: len(durations) for rule, durations in seconds.items()})
    running, waiting, history = {}, dict(enumerate(jobs)), []
    while waiting or running:
        while waiting and len(running) < cores:
            number, (rule, each) = next(iter(waiting.items()))
            del waiting[number]
            shown.started(number, rule, f"{rule} {number}")
            running[number] = clock.now + each
        number = min(running, key=running.get)
        clock.now = running.pop(number)
        shown.finished(number)
        history.append((clock.now, shown.seconds_left()))
    return [(clock.now - now, left) for now, left in history]


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_estimates_close_in_on_the_truth(cores):
    seconds = {"train": [40.0] * 16, "detect": [9.0] * 60, "table": [3.0] * 5}
    points = simulated(seconds, cores=cores, expected={"train": 20, "detect": 4.5, "table": 1.5})
    for truth, left in points:
        # the last jobs do not fill all cores: up to the longest of them
        assert abs(left - truth) <= (1e-6 if cores == 1 else 0.1 * truth + 40), (truth, left)


def test_what_was_seen_takes_the_place_of_what_was_expected():
    seconds = {"train": [40.0] * 20, "detect": [10.0] * 20}
    points = simulated(seconds, cores=1, expected={"train": 1, "detect": 100})
    for truth, left in points[10:]:  # one of each has ended
        assert left == pytest.approx(truth)


def test_nothing_is_said_of_rules_of_which_nothing_is_known():
    points = simulated({"train": [40.0] * 4, "detect": [9.0] * 4}, cores=1, seed=1)
    silent = [left is None for _, left in points]
    assert silent[0] and not silent[-1] and silent == sorted(silent, reverse=True)
    assert points[-1] == (0, 0)


def test_an_attempt_more_starts_its_time_anew():
    clock = Clock()
    shown = Progress({}, clock)
    shown.planned({"train": 2})
    shown.started(0, "train", "train a")
    clock.now += 50  # fails
    shown.started(0, "train", "train a")
    clock.now += 10
    shown.finished(0)
    assert shown.line(1, 2).endswith("1 of 2 steps (50%) done, less than a minute left | train a, 10 s")


def test_jobs_that_take_longer_than_expected_do_not_use_up_the_time_of_those_that_wait():
    clock = Clock()
    shown = Progress({}, clock)
    shown.planned({"train": 12})
    shown.started(0, "train", "train 0")
    clock.now += 10
    shown.finished(0)
    shown.started(1, "train", "train 1")
    clock.now += 500  # fifty times as long as the first one
    assert shown.seconds_left() == pytest.approx(10 * 10)


def test_the_line_grows_to_the_whole_bar():
    lines = [Progress({}).line(done, 7) for done in range(8)]
    assert [line.count("#") for line in lines] == sorted(line.count("#") for line in lines)
    assert lines[0].startswith("[" + "." * progress.WIDTH + "] 0 of 7")
    assert lines[7] == "[" + "#" * progress.WIDTH + "] 7 of 7 steps (100%) done"
    assert Progress({}).line(0, 0).endswith("0 of 0 steps (100%) done")


def test_examples_of_the_docstrings():
    assert doctest.testmod(progress).failed == 0
