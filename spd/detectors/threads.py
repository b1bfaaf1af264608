"""numba's threads, as many as torch's. Import before any numba function with `parallel=True` runs.

The layer `workqueue` is chosen because numba's default spins against the BLAS's threads: with two threads
each, a coreset took several times longer.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import torch

numba.config.THREADING_LAYER = "workqueue"


def use_torch_threads() -> None:
    """Lets numba's parallel loops use as many threads as torch does."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))


def one_thread_each(work: Callable, blocks: Sequence, device: torch.device) -> list:
    """work(block) of each block: on a CPU, as many at once as torch has threads, each on one thread.

    Small factorisations gain nothing from several threads of their own, and lose much when one of them waits.
    """
    threads = torch.get_num_threads()
    if threads == 1 or device.type != "cpu":
        return [work(block) for block in blocks]
    inference = torch.is_inference_mode_enabled()

    def as_the_caller(block: Any) -> Any:
        with torch.inference_mode(inference):  # a mode is a thread's own
            return work(block)

    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(as_the_caller, blocks))
    finally:
        torch.set_num_threads(threads)
