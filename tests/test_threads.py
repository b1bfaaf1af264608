"""Blocks of work on one thread each: each once, in order, in the caller's mode."""

import pytest
import torch

from spd.threads import one_thread_each


@pytest.mark.parametrize("threads", [1, 3])
def test_each_block_once_in_order_on_one_thread_and_threads_are_given_back(threads):
    before = torch.get_num_threads()

    def work(block):
        if block == 7:
            raise ValueError("block 7")
        return block, torch.get_num_threads()

    try:
        torch.set_num_threads(threads)
        assert one_thread_each(work, range(5), torch.device("cpu")) == [(i, 1) for i in range(5)]
        with pytest.raises(ValueError, match="block 7"):
            one_thread_each(work, range(5, 9), torch.device("cpu"))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("inference", [False, True])
def test_blocks_run_in_the_callers_mode(inference):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with torch.inference_mode(inference):
            modes = one_thread_each(
                lambda _: torch.is_inference_mode_enabled(), range(3), torch.device("cpu")
            )
    finally:
        torch.set_num_threads(before)
    assert modes == [inference] * 3
