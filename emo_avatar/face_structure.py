"""A loss that keeps the structure of a face while its style changes: the edges that show features in any colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

WINDOW_SHARE = 0.07
REACH_SHARE = 0.025
# In units of luminance in [-1, 1]: a window with less variation has no edge.
FLAT_VARIANCE = 0.04**2


@dataclass(frozen=True)
class FaceStructure:
    """The frames before an edit, and the importance of the surroundings of each pixel.

    Attributes:
        luminance: ``[F, 1, R, R]`` in about [-1, 1].
        weights: ``[F, 1, R, R]``, high at edges near the landmarks of eyes, brows, nose, mouth and jaw.
    """

    luminance: Tensor
    weights: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, images: Tensor, landmarks68_px: Tensor) -> FaceStructure:
        """Build this from unedited ``images [F, 3, R, R]`` in [-1, 1] and landmarks ``[F, 68, 2]`` px at their size."""
        grey = rgb_to_grayscale(images)
        variance = _covariance(grey, grey)
        near = landmark_weights(landmarks68_px, images.shape[-1]).to(grey.device)
        return cls(grey, near * variance / (variance + FLAT_VARIANCE))

    def loss(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return 1 minus the weighted local correlation of edited ``images [B, 3, R, R]`` with the frames ``rows [B]``.

        The result is a scalar. A local correlation does not depend on brightness and contrast: a style may change the
        colours of a face, but may not move its features.
        """
        weights = self.weights[rows]
        correlation = local_correlation(rgb_to_grayscale(images), self.luminance[rows])
        return (weights * (1.0 - correlation)).sum() / weights.sum().clamp_min(1e-6)


def local_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the normalised cross-correlation of ``[B, 1, R, R]`` luminances in a window around each pixel.

    The result has the same shape and is in [-1, 1]. If a window is flat in both, it is 1.
    """
    of_a, of_b, of_both = (_covariance(*pair) + FLAT_VARIANCE for pair in ((a, a), (b, b), (a, b)))
    return of_both / (of_a * of_b).sqrt()


def landmark_weights(landmarks68_px: Tensor, size_px: int) -> Tensor:
    """Return ``[B, 1, S, S]``: a Gaussian with peak 1 at each landmark of ``[B, 68, 2]`` px; 0 without landmarks."""
    centers = torch.arange(size_px, dtype=torch.float32) + 0.5
    reach = REACH_SHARE * size_px
    falls = torch.exp(-(((centers - landmarks68_px.float()[..., None]) / reach) ** 2) / 2)
    across, down = torch.nan_to_num(falls).unbind(dim=2)
    # One frame at a time: for all frames at once, each landmark of each frame would need a picture in memory.
    return torch.stack([(d[:, :, None] * a[:, None]).amax(dim=0) for a, d in zip(across, down, strict=True)])[:, None]


def face_region(landmarks68_px: np.ndarray, size_px: int) -> np.ndarray:
    """Return ``[S, S]`` bool: the pixels whose centres lie on face or neck, from the collar to the hair.

    The 68 landmarks end at the brows and at the chin. The forehead is taken to be as high as the part from the brows to
    the base of the nose, as in the rule of thirds of portrait drawing, and the neck half as long again as the part from
    the base of the nose to the chin. Without landmarks any pixel may be on the face.

    Args:
        landmarks68_px: ``[68, 2]`` at ``size_px``.
    """
    from scipy.spatial import Delaunay

    if not np.isfinite(landmarks68_px).all():
        return np.ones((size_px, size_px), dtype=bool)
    brows, nose_base, jaw = landmarks68_px[17:27], landmarks68_px[33], landmarks68_px[4:13]
    hairline = brows + (brows.mean(axis=0) - nose_base)
    collar = jaw + 1.5 * (landmarks68_px[8] - nose_base)
    centers = np.arange(size_px) + 0.5
    pixels = np.stack(np.meshgrid(centers, centers), axis=-1)
    inside: np.ndarray = Delaunay(np.concatenate([landmarks68_px, hairline, collar])).find_simplex(pixels) >= 0
    return inside


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    """Return the covariance of two ``[B, 1, R, R]`` in the window around each pixel."""
    window = 2 * round(WINDOW_SHARE * a.shape[-1] / 2) + 1

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, window, stride=1, padding=window // 2, count_include_pad=False)

    return mean((a - mean(a)) * (b - mean(b)))
