"""Cache of results by frame content: a reference frame is processed once for all methods, and kept for later runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, Side
from emo_bench.metrics.kept import Keeping

REMEMBERED_FRAMES = 4096

T = TypeVar("T")


class FrameMemory(Generic[T]):
    """Results by the frame's SHA-256, None for a frame without; beyond ``REMEMBERED_FRAMES`` the oldest are removed.

    ``keeping`` says how results are kept in files, if the batch has a place for them; None keeps none. ``lock`` is held
    while something is computed; memories of one detector share it.
    """

    def __init__(self, keeping: Keeping[T] | None = None, lock: threading.RLock | None = None) -> None:
        self._results: OrderedDict[bytes, T | None] = OrderedDict()
        self._keeping = keeping
        self.lock = lock or threading.RLock()

    def recall(self, batch: Batch, side: Side, compute: Callable[[NDArray[np.uint8], int], T | None]) -> list[T | None]:
        """Return one result per frame of that side; ``compute(frame, i)`` computes it for new content.

        Results of the reference are also looked up in ``batch.kept``, and kept there. One thread at a time: detectors
        cannot process two frames at once.
        """
        kept = batch.kept if side == "reference" else None
        results = []
        with self.lock:
            for i, (digest, frame) in enumerate(zip(batch.digests(side), batch.side(side), strict=True)):
                look: Callable[[], T | None]
                if digest in self._results:
                    look = partial(self._results.__getitem__, digest)
                else:
                    look = partial(compute, np.ascontiguousarray(frame), i)
                if kept is not None and self._keeping is not None:
                    found = kept.recall(self._keeping, digest, look)
                else:
                    found = look()
                if digest not in self._results:
                    self._results[digest] = found
                    if len(self._results) > REMEMBERED_FRAMES:
                        self._results.popitem(last=False)
                results.append(found)
        return results
