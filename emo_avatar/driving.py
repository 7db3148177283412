"""Driving signals and training frames of a capture as tensors; each is read and rasterised once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from emo_avatar.alignment import ffhq_quad, invert_affine, quad_to_affine
from emo_avatar.config import EmoAvatarConfig
from emo_avatar.motion_flow import expression_windows
from emo_avatar.renderer import AvatarRenderer, DrivingBatch
from emo_bench.actors.capture import Capture
from emo_bench.methods.training.frames import TrainingFrames, evenly_spaced, median_background, to_frames_u8
from emo_bench.system.devices import mixed_precision

# Number of frames that are rendered at once.
RENDER_BATCH = 8


class DrivingSignals:
    """Turns a capture's track into batches at the method's resolution.

    Args:
        capture: only its track is read.
        config: resolution, expression window, base code.
        pivot_poses_deg: ``[K, 2]`` yaw and pitch of the pivots' frames.
        keep_uv: keep each UV map in memory for the next use (6 bytes per pixel).
    """

    def __init__(
        self, capture: Capture, config: EmoAvatarConfig, pivot_poses_deg: np.ndarray, keep_uv: bool = True
    ) -> None:
        track = capture.track
        self._track = track
        self._size = config.resolution_px
        self._keep_uv = keep_uv
        self._maps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        expression = torch.from_numpy(filled_forward(np.asarray(track.expression, dtype=np.float32)))
        self._windows = expression_windows(expression, config.expression_window)
        self._affine = torch.from_numpy(frame_to_aligned(track.landmarks68, track.size_px))
        poses = filled_forward(track.yaw_pitch_deg())
        weights = pivot_weights(poses, pivot_poses_deg, config.base_code)
        self._pivot_weights = torch.from_numpy(weights)

    def batch(self, indices: Sequence[int] | np.ndarray, device: str = "cpu") -> DrivingBatch:
        """Gather the signals of some frames."""
        maps = [self._uv(int(index)) for index in indices]
        uv = torch.from_numpy(np.stack([uv for uv, _ in maps]).astype(np.float32))
        mask = torch.from_numpy(np.stack([mask for _, mask in maps]).astype(np.float32))
        chosen = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        return DrivingBatch(
            self._windows[chosen].to(device),
            uv.to(device),
            mask[:, None].to(device),
            self._affine[chosen].to(device),
            self._pivot_weights[chosen].to(device),
        )

    def _uv(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        found = self._maps.get(index)
        if found is None:
            found = self._track.uv(index, self._size)
            if self._keep_uv:
                self._maps[index] = found
        return found


def filled_forward(values: np.ndarray) -> np.ndarray:
    """Replace rows ``[T, N]`` with a NaN by the row before them; rows before the first complete row get that one.

    The result is only used for neighbours in a window: a frame without a face is never trained on or scored itself.
    """
    whole = np.isfinite(values).all(axis=1)
    if not whole.any():
        return np.zeros_like(values)
    source = np.maximum.accumulate(np.where(whole, np.arange(len(values)), -1))
    return np.asarray(values[np.where(source < 0, np.flatnonzero(whole)[0], source)])


def frame_to_aligned(landmarks68: np.ndarray, size_px: int) -> np.ndarray:
    """Return affine maps from the frame to FFHQ's aligned head, in the form that ``affine_grid`` takes.

    Args:
        landmarks68: ``[T, 68, 2]`` px.
        size_px: side of the frames that the landmarks refer to.

    Returns:
        ``[T, 2, 3]`` float32; both coordinate systems run from -1 to 1 across the picture. A frame without landmarks
        gets the map of the last frame before it that has landmarks; before the first such frame, the map of that frame.
    """
    whole = filled_forward(landmarks68.reshape(len(landmarks68), -1)).reshape(landmarks68.shape)
    corners = 2.0 * ffhq_quad(whole) / size_px - 1.0
    # A crop with a side of two units runs from 0 to 2; minus one, this is affine_grid's range of -1 to 1.
    maps = invert_affine(quad_to_affine(corners, 2))
    maps[:, :, 2] -= 1.0
    return maps.astype(np.float32)


def pivot_weights(poses_deg: np.ndarray, pivot_poses_deg: np.ndarray, base_code: str) -> np.ndarray:
    """Return the share of each pivot in a frame's latent code.

    ``mean`` is the paper's coarse template code; ``pose`` gives more weight to pivots that are nearer in yaw and pitch.

    Args:
        poses_deg: ``[T, 2]``.
        pivot_poses_deg: ``[K, 2]``.

    Returns:
        ``[T, K]`` float32, rows sum to one.
    """
    if base_code == "mean":
        return np.full((len(poses_deg), len(pivot_poses_deg)), 1.0 / len(pivot_poses_deg), dtype=np.float32)
    distance_sq = ((poses_deg[:, None] - pivot_poses_deg[None]) ** 2).sum(axis=-1)
    spread = max(float(np.var(pivot_poses_deg, axis=0).sum()), 1.0)
    logits = -distance_sq / (0.5 * spread)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class WeightedFrames(TrainingFrames):
    """The training frames at the method's resolution, with higher weights at mouth and eyes.

    Args:
        capture: a capture in which at least ``indices`` are readable.
        indices: training frames.
        config: resolution, the greatest number of frames, the weight of mouth and eyes.
    """

    def __init__(self, capture: Capture, indices: Sequence[int], config: EmoAvatarConfig) -> None:
        super().__init__(capture, evenly_spaced(indices, config.max_train_frames), config.resolution_px)
        self._landmarks_px = landmarks_px(capture, self.indices, config.resolution_px)
        self._feature_weight = config.feature_weight

    def pixel_weights(self, rows: Sequence[int] | np.ndarray, device: str = "cpu") -> Tensor:
        """Return pixel weights ``[B, 1, R, R]``: 1, and up to ``1 + feature_weight`` at mouth and eyes."""
        landmarks = self._landmarks_px[torch.as_tensor(np.asarray(rows))]
        return feature_weights(landmarks, self._frames.shape[-1], self._feature_weight).to(device)

    def mouth_boxes(self, rows: Sequence[int] | np.ndarray, device: str = "cpu") -> Tensor:
        """Return squares around the mouth ``[B, 4]``: left, top, right, bottom in px; 1.7 px wide without a face."""
        return mouth_boxes(self._landmarks_px[torch.as_tensor(np.asarray(rows))]).to(device)

    def background_plate(self, foreground: Callable[[int, int], np.ndarray], samples: int) -> Tensor:
        """Return the median of the pixels outside the head's mask over evenly spaced frames, ``[3, R, R]`` in [-1, 1].

        A pixel that is always covered gets the value of the nearest known one.

        Args:
            foreground: returns the mask ``[R, R]`` of a frame for its index and a size, as ``Track.foreground`` does.
            samples: the number of frames that are read.
        """
        rows = evenly_spaced(range(len(self)), samples)
        masks = np.stack([foreground(int(i), self._frames.shape[-1]) for i in self.indices[rows]])
        pictures = self._frames[rows].transpose(0, 2, 3, 1).astype(np.float32)
        plate = median_background(pictures, masks, unknown=127.5)
        return torch.from_numpy(plate.transpose(2, 0, 1) / 127.5 - 1.0).contiguous()


def landmarks_px(capture: Capture, indices: Sequence[int] | np.ndarray, size_px: int) -> Tensor:
    """Return the 68 landmarks of some frames, ``[N, 68, 2]`` float32, in pixels of a picture with side ``size_px``."""
    landmarks = capture.track.landmarks68[np.asarray(indices)] * (size_px / capture.size_px)
    return torch.from_numpy(np.asarray(landmarks, dtype=np.float32))


def feature_weights(landmarks68_px: Tensor, size_px: int, strength: float) -> Tensor:
    """Return soft ellipses over mouth and eyes: ``[B, 1, S, S]``, from 1 to ``1 + strength``.

    Args:
        landmarks68_px: ``[B, 68, 2]`` at ``size_px``.
    """
    centers = torch.arange(size_px, dtype=torch.float32) + 0.5
    peak = torch.zeros(len(landmarks68_px), size_px, size_px)
    for part, least_height in ((slice(48, 68), 0.5), (slice(36, 42), 0.6), (slice(42, 48), 0.6)):
        points = landmarks68_px[:, part]
        low, high = points.amin(dim=1), points.amax(dim=1)
        middle, half = (low + high) / 2, (high - low) / 2
        width = half[:, 0].clamp_min(1.0) * 1.1
        height = torch.maximum(half[:, 1] * 1.2, width * least_height)
        dx = ((centers[None] - middle[:, :1]) / width[:, None]) ** 2
        dy = ((centers[None] - middle[:, 1:]) / height[:, None]) ** 2
        peak = torch.maximum(peak, torch.exp(-((dy[:, :, None] + dx[:, None, :]) ** 2)))
    return 1.0 + strength * torch.nan_to_num(peak)[:, None]


def mouth_boxes(landmarks68_px: Tensor) -> Tensor:
    """Return squares ``[B, 4]`` (left, top, right, bottom, px) around the mouths of ``[B, 68, 2]``, 1.7 mouths wide."""
    lips = torch.nan_to_num(landmarks68_px[:, 48:68])
    low, high = lips.amin(dim=1), lips.amax(dim=1)
    middle = (low + high) / 2
    half = 0.85 * (high - low).amax(dim=1, keepdim=True).clamp_min(1.0)
    return torch.cat((middle - half, middle + half), dim=1)


def rendered(
    avatar: AvatarRenderer, signals: DrivingSignals, indices: Sequence[int], device: str
) -> Iterator[np.ndarray]:
    """Yield uint8 ``[R, R, 3]`` frames of an avatar, rendered in batches; call it without gradients."""
    for start in range(0, len(indices), RENDER_BATCH):
        batch = signals.batch(indices[start : start + RENDER_BATCH], device)
        with mixed_precision(device, avatar.config.bf16):
            image = avatar(batch).image
        yield from to_frames_u8(image)
