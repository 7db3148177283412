"""Features of recorded frames in a temporary file: the next scoring of this process does not compute them again.

They are too large to be kept in memory or beside a capture: 2.5 MiB a frame of 128 px.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor

MOST_BYTES = 1536 * 2**20
# The file takes at most this share of what is free where temporary files are.
SHARE = 0.25


@dataclass(frozen=True)
class _Map:
    """The shape of one feature map of a frame, and whether channels are the innermost axis in memory."""

    channels: int
    height: int
    width: int
    channels_last: bool

    @property
    def bytes(self) -> int:
        return 4 * self.channels * self.height * self.width


class FeatureFile:
    """Feature maps by key, in a file without a name that ends with the process; threads may use it together.

    Maps come back with the same values and the same layout in memory, because the order of a sum depends on it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._file: IO[bytes] | None = None
        self._end = 0
        self._entries: dict[Hashable, tuple[int, tuple[_Map, ...]]] = {}
        self._lock = threading.Lock()

    def find(self, keys: Sequence[Hashable]) -> list[Tensor] | None:
        """Return the feature maps of these frames, float32 ``[B, C, H, W]`` each; None if one is not there."""
        with self._lock:
            entries = [self._entries.get(key) for key in keys]
            file = self._file
        places = [entry[0] for entry in entries if entry is not None]
        kinds = {entry[1] for entry in entries if entry is not None}
        if file is None or len(places) != len(keys) or len(kinds) != 1:
            return None
        maps = kinds.pop()
        buffers = [bytearray(len(keys) * each.bytes) for each in maps]
        for row, place in enumerate(places):
            parts = [
                memoryview(buffer)[row * each.bytes : (row + 1) * each.bytes]
                for buffer, each in zip(buffers, maps, strict=True)
            ]
            if os.preadv(file.fileno(), parts, place) != sum(each.bytes for each in maps):
                return None
        return [_tensor(buffer, len(keys), each) for buffer, each in zip(buffers, maps, strict=True)]

    def add(self, keys: Sequence[Hashable], features: Sequence[Tensor]) -> None:
        """Store the feature maps of frames, as far as there is room."""
        maps = tuple(map(_map_of, features))
        size = sum(each.bytes for each in maps)
        for row, key in enumerate(keys):
            place = self._reserve(key, size)
            if place is None or self._file is None:
                continue
            parts = [
                (part[row].permute(1, 2, 0) if each.channels_last else part[row]).contiguous().numpy()
                for part, each in zip(features, maps, strict=True)
            ]
            try:
                written = os.pwritev(self._file.fileno(), [part.data for part in parts], place)
            except OSError:
                written = 0
            with self._lock:
                if written == size:
                    self._entries[key] = (place, maps)
                else:
                    # The disk is full.
                    self._left = 0

    def _reserve(self, key: Hashable, size: int) -> int | None:
        """Return the place for a new entry of that size; None if it is there already, or if there is no room."""
        with self._lock:
            if key in self._entries or size > self._left:
                return None
            if self._file is None:
                try:
                    self._left = min(self._left, int(SHARE * shutil.disk_usage(tempfile.gettempdir()).free))
                    self._file = tempfile.TemporaryFile(prefix="emo-bench-")  # noqa: SIM115 - open until the process ends
                except OSError:
                    self._left = 0
                if size > self._left:
                    return None
            self._left -= size
            self._end += size
            return self._end - size


def _map_of(part: Tensor) -> _Map:
    _, channels, height, width = part.shape
    channels_last = part.is_contiguous(memory_format=torch.channels_last) and not part.is_contiguous()
    return _Map(channels, height, width, channels_last)


def _tensor(buffer: bytearray, count: int, kind: _Map) -> Tensor:
    values = torch.frombuffer(buffer, dtype=torch.float32)
    if kind.channels_last:
        return values.view(count, kind.height, kind.width, kind.channels).permute(0, 3, 1, 2)
    return values.view(count, kind.channels, kind.height, kind.width)
