"""Cache of results by frame content: a reference frame is processed once for all methods."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, Side

REMEMBERED_FRAMES = 4096

T = TypeVar("T")


class FrameMemory(Generic[T]):
    """Results by the frame's SHA-256; beyond ``REMEMBERED_FRAMES`` the oldest are removed.

    ``lock`` is held while something is computed; memories of one detector share it.
    """

    def __init__(self, lock: threading.RLock | None = None) -> None:
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self.lock = lock or threading.RLock()

    def recall(self, batch: Batch, side: Side, compute: Callable[[NDArray[np.uint8], int], T]) -> list[T]:
        """Return one result per frame of that side; ``compute(frame, i)`` computes it for new content.

        One thread at a time: detectors cannot process two frames at once.
        """
        results = []
        with self.lock:
            for i, (digest, frame) in enumerate(zip(batch.digests(side), batch.side(side), strict=True)):
                if digest not in self._results:
                    self._results[digest] = compute(np.ascontiguousarray(frame), i)
                    if len(self._results) > REMEMBERED_FRAMES:
                        self._results.popitem(last=False)
                results.append(self._results[digest])
        return results
