"""How far a run of many jobs is, in one line: a bar, N of M, and how long the rest will take. (ours)"""

import time
from collections import Counter
from collections.abc import Callable, Mapping

WIDTH = 24
"""Characters of the bar."""
UNKNOWN = 0.05
"""Share of the steps left that may be of kinds of which nothing is known, for an estimate to be given."""


class Progress:
    """Fed with what happens to each job; jobs have a number, and a rule that says how long they take.

    expected: seconds of a job of a rule, from elsewhere. Only their ratios count once jobs have finished, and
    nothing of them counts for a rule of which one has. clock: seconds, of any origin.
    """

    def __init__(self, expected: Mapping[str, float], clock: Callable[[], float] = time.monotonic):
        self.expected, self.clock = dict(expected), clock
        self.began: float | None = None
        self.left: Counter[str] = Counter()
        self.running: dict[int, tuple[str, str, float]] = {}
        self.took: dict[str, list[float]] = {}
        self.last = ""

    def planned(self, jobs: Mapping[str, int]) -> None:
        """How many jobs of each rule there are to do."""
        self.left = Counter(jobs)
        self.began = self.clock()

    def started(self, job: int, rule: str, name: str) -> None:
        """A job runs from now on; again, where an attempt has failed. name: what its end is told with."""
        self.running[job] = (rule, name, self.clock())

    def finished(self, job: int) -> None:
        """A job is done."""
        rule, name, start = self.running.pop(job)
        self.left[rule] -= 1
        self.took.setdefault(rule, []).append(self.clock() - start)
        self.last = f"{name}, {duration(self.took[rule][-1])}"

    def seconds_left(self) -> float | None:
        """Seconds until all is done; None while nothing can be said.

        What is left is the mean of the rule's finished jobs, or what is expected of it at this machine's
        speed; divided by the mean number of jobs that ran at once.
        """
        if not self.took:
            return None
        known = self.took.keys() & self.expected.keys()
        guessed = sum(len(self.took[rule]) * self.expected[rule] for rule in known)
        speed = sum(sum(self.took[rule]) for rule in known) / guessed if guessed else 1.0
        each = {rule: seconds * speed for rule, seconds in self.expected.items()}
        each |= {rule: sum(took) / len(took) for rule, took in self.took.items()}
        if sum(count for rule, count in self.left.items() if rule not in each) > UNKNOWN * self.left.total():
            return None
        now = self.clock()
        spent = [(now - start, each.get(rule, 0.0)) for rule, _, start in self.running.values()]
        work = sum(count * each.get(rule, 0.0) for rule, count in self.left.items())
        # A job that takes longer than expected is nearly done; it does not do the work of those that wait.
        work -= sum(min(pair) for pair in spent)
        at_once = sum(map(sum, self.took.values())) + sum(seconds for seconds, _ in spent)
        return max(0.0, work) / max(1.0, at_once / max(now - self.began, 1e-9))

    def line(self, done: int, total: int) -> str:
        """A bar, how many of all steps are done, the time left, and which job has just ended.

        >>> Progress({}).line(3, 12)
        '[######..................] 3 of 12 steps (25%) done'
        """
        share = done / total if total else 1.0
        bar = "#" * int(WIDTH * share)
        text = f"[{bar:.<{WIDTH}}] {done} of {total} steps ({int(100 * share)}%) done"
        left = self.seconds_left() if done < total else None
        if left is not None:
            text += f", {duration(left, rough=True)} left"
        return f"{text} | {self.last}" if self.last else text


def duration(seconds: float, rough: bool = False) -> str:
    """Seconds in words, to two units at most; rough: as good as an estimate is.

    >>> duration(75), duration(75, rough=True), duration(7260), duration(20, rough=True)
    ('1 min 15 s', 'about 1 min', '2 h 1 min', 'less than a minute')
    """
    if rough and seconds < 45:
        return "less than a minute"
    if rough:
        minutes = max(1, round(seconds / 60))
        return f"about {minutes} min" if minutes < 120 else f"about {round(minutes / 60)} h"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
