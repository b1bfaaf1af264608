"""numba's threads, as many as torch's. Import before any numba function with `parallel=True` runs.

The layer `workqueue` is chosen because numba's default spins against the BLAS's threads: with two threads
each, a coreset took several times longer.
"""

import numba
import torch

numba.config.THREADING_LAYER = "workqueue"


def use_torch_threads() -> None:
    """Lets numba's parallel loops use as many threads as torch does."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))
