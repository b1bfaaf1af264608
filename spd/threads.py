"""Several CPU threads, and the same bytes as with one."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


def one_thread_each(work: Callable, blocks: Sequence, device: torch.device) -> list:
    """work(block) of each block, in order: on a CPU as many at once as torch has threads, on one thread each.

    So the number of threads changes no bit of what comes out: within one convolution or product it may change
    the order of sums. And it is the faster way: small factorisations and convolutions gain little or nothing
    from several threads of their own, and lose much when one of them waits. Ours.
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
