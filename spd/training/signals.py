"""A training that is asked to stop finishes its step, saves, and says by its exit status how to go on."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PREEMPTED = 75
"""Exit status after SIGTERM or SIGUSR1 with a checkpoint saved: EX_TEMPFAIL, run the same command again to
continue."""


class Preempted(SystemExit):
    """Asked to stop by a signal; the checkpoint is saved. Left alone, the process exits with status
    PREEMPTED."""


@contextmanager
def stop_requests() -> Iterator[Sequence[int]]:
    """The SIGTERM, SIGUSR1 and SIGINT received so far, to be looked at between steps; the former handlers
    come back afterwards. Outside the main thread none is ever seen.

    After SIGINT a training that has saved ends as any interrupted program does, with KeyboardInterrupt:
    status 75 would put a Slurm job back into the queue, and it was a person who stopped it.
    """
    received: list[int] = []
    former = {}
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            former[number] = signal.signal(number, lambda number, _: received.append(number))
    except ValueError:  # signals belong to the main thread
        pass
    try:
        yield received
    except Preempted:
        # The first one counts: a terminal's Ctrl-C reaches a rank twice, once through torchrun, as SIGTERM.
        if received[:1] == [signal.SIGINT]:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
