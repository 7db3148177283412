"""Driving signals of a capture as batches, and the sliding window over frames and signals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.head_render import HeadLook, HeadSurface, shaded
from baselines.style_avatar.avatar import MARGIN_SHARE, DrivingBatch
from baselines.style_avatar.config import StyleAvatarConfig
from emo_bench.actors.track import Track
from emo_bench.methods.training.frames import to_unit_range


class DrivingSignals:
    """Renderings and UV maps of a track; they are kept in memory.

    Args:
        track: only its poses are read.
        look: colour and light of the person.
        config: sizes.
        last_time: greatest frame number of the time code; None for the frames' own numbers.
        keep: number of frames to keep, None for all.
    """

    def __init__(
        self, track: Track, look: HeadLook, config: StyleAvatarConfig, last_time: int | None, keep: int | None = None
    ) -> None:
        self._look, self._last_time, self._keep = look, last_time, keep
        self._large = HeadSurface(track, config.input_px)
        self._small = HeadSurface(track, config.feature_px)
        self._maps: OrderedDict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = OrderedDict()

    def batch(self, indices: Sequence[int] | np.ndarray, device: str = "cpu") -> DrivingBatch:
        """Return the signals of some frames, with the window exactly on the frame."""
        maps = [self._frame(int(index)) for index in indices]
        rendering, uv, surface = (torch.from_numpy(np.stack(part)) for part in zip(*maps, strict=True))
        time = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        if self._last_time is not None:
            time = time.clamp_max(self._last_time)
        return DrivingBatch(
            to_unit_range(rendering).to(device),
            uv.float().to(device),
            surface.float()[:, None].to(device),
            time.to(device),
            torch.zeros(len(maps), 2, device=device),
        )

    def _frame(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = self._maps.get(index)
        if found is None:
            rendering = shaded(self._look, self._large.at(index)).transpose(2, 0, 1)
            small = self._small.at(index)
            found = (np.ascontiguousarray(rendering), small.uv.astype(np.float16), small.mask)
            self._maps[index] = found
            if self._keep is not None and len(self._maps) > self._keep:
                self._maps.popitem(last=False)
        return found


def window_shifts(rng: np.random.Generator, batch: int, step: int, config: StyleAvatarConfig) -> np.ndarray:
    """Draw window shifts ``[B, 2]`` int64, right and down in feature pixels: normal on even steps, zero on odd ones."""
    drawn = rng.normal(scale=config.window_spread * config.feature_px, size=(batch, 2))
    if step % 2 or not config.sliding_window:
        return np.zeros((batch, 2), dtype=np.int64)
    limit = int(MARGIN_SHARE * config.feature_px)
    return np.clip(np.rint(drawn), -limit, limit).astype(np.int64)


def windowed(images: Tensor, shifts: np.ndarray, feature_px: int, mode: str) -> Tensor:
    """Cut each picture of ``[B, C, S, S]`` at its window; outside the frame it is padded by ``mode`` of ``F.pad``.

    Args:
        shifts: ``[B, 2]`` right and down in feature pixels; a side has ``feature_px`` of them.
    """
    if not shifts.any():
        return images
    size = images.shape[-1]
    # Sides are powers of two, so one of the two pixel sizes is a multiple of the other.
    offsets = shifts * size // feature_px
    margin = int(np.abs(offsets).max())
    padded = F.pad(images, [margin] * 4, mode=mode)
    corners = (offsets + margin).tolist()
    cut = [picture[:, y : y + size, x : x + size] for picture, (x, y) in zip(padded, corners, strict=True)]
    return torch.stack(cut)


def moved(batch: DrivingBatch, shifts: np.ndarray, feature_px: int) -> DrivingBatch:
    """Cut the signals at the window; outside the frame there is no information about the head."""
    uv = windowed(batch.uv.permute(0, 3, 1, 2), shifts, feature_px, "constant")
    return DrivingBatch(
        # -1 is black.
        windowed(batch.rendering + 1.0, shifts, feature_px, "constant") - 1.0,
        uv.permute(0, 2, 3, 1),
        windowed(batch.surface, shifts, feature_px, "constant"),
        batch.time,
        torch.from_numpy(shifts / feature_px).to(batch.shift),
    )
