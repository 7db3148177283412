"""What a scoring was given besides the frames to score: their selection, the reference and the masks, for records."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from emo_bench.metrics.batch import Batch
from emo_bench.text.ranges import ranges

# A longer list of frames is written as its ends and its SHA-256.
LONGEST_LIST = 200
_NUMBERED = re.compile(r"(.*?)([0-9]{1,15})")


class Inputs:
    """Collects the inputs of a scoring, batch by batch; a digest is None as long as nothing of its kind was given."""

    def __init__(self) -> None:
        self._frames: list[int | str] = []
        self._reference = hashlib.sha256()
        self._masks = hashlib.sha256()
        self._has_reference = self._has_masks = False

    def add(self, batch: Batch, masks: np.ndarray | None) -> None:
        """Add a batch, and the masks ``[B, H, W]`` or ``[B, H, W, C]`` by which it was prepared or is scored."""
        self._frames.extend(batch.indices)
        if batch.reference is not None and len(batch):
            self._has_reference = True
            for digest in batch.digests("reference"):
                self._reference.update(digest)
        if masks is not None and len(masks):
            self._has_masks = True
            for mask in masks:
                self._masks.update(f"{mask.dtype} {mask.shape}".encode())
                self._masks.update(np.ascontiguousarray(mask).tobytes())

    @property
    def frames(self) -> str:
        """The selection of frames, see :func:`selection`."""
        return selection(self._frames)

    @property
    def reference_sha256(self) -> str | None:
        """The SHA-256 of the reference frames' SHA-256 sums, in order."""
        return self._reference.hexdigest() if self._has_reference else None

    @property
    def masks_sha256(self) -> str | None:
        """The SHA-256 of the masks, in order."""
        return self._masks.hexdigest() if self._has_masks else None


def selection(frames: Sequence[int | str]) -> str:
    """Write the numbers of frames, as in ``0-499``, ``0-495/5`` (every fifth) or ``1-3,7``.

    Names that differ in a number at their end count as these numbers (``frame_001`` to ``frame_500`` is ``1-500``).
    Other names, and frames that do not ascend, are written as their number, ends and SHA-256.
    """
    if not frames:
        return ""
    numbers = _numbers(frames)
    if numbers is not None:
        steps = set(np.diff(numbers).tolist())
        if len(steps) == 1 and steps != {1} and len(numbers) > 2:
            return f"{numbers[0]}-{numbers[-1]}/{steps.pop()}"
        text = ranges(numbers, ",")
        if len(text) <= LONGEST_LIST:
            return text
    named: Sequence[int | str] = frames if numbers is None else numbers
    sha256 = hashlib.sha256("\n".join(map(str, named)).encode()).hexdigest()
    return f"{len(named)} from {str(named[0])[:40]} to {str(named[-1])[:40]}, SHA-256 {sha256}"


def _numbers(frames: Sequence[int | str]) -> list[int] | None:
    """Return the frames' numbers if they ascend; None if they do not, or if they have other names."""
    found = [_NUMBERED.fullmatch(str(frame)) for frame in frames]
    if any(match is None for match in found) or len({match.group(1) for match in found if match}) != 1:
        return None
    numbers = [int(match.group(2)) for match in found if match]
    return numbers if all(b > a for a, b in pairwise(numbers)) else None
