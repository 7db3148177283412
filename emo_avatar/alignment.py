"""FFHQ alignment: the square crop of a head that StyleGAN2 priors are trained on.

The crop follows from 68 landmarks (Karras et al. 2019, appendix C): its x axis runs along the eyes,
corrected by the direction from the eyes to the mouth. Pixel coordinates are continuous: the centre of the
top-left pixel is (0.5, 0.5).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

EYE_SCALE = 2.0
MOUTH_SCALE = 1.8
CENTER_SHIFT = 0.1
MAX_TAPS = 16


def ffhq_quad(landmarks68: ArrayLike) -> NDArray[np.float64]:
    """Return the corners of the FFHQ crop: ``landmarks68`` [..., 68, 2] px to ``[..., 4, 2]`` px.

    The corners are the crop's top left, bottom left, bottom right and top right. They form a square, which may be
    rotated and may reach over the image's edge. If all landmarks are at one place, its size is zero. Raises ValueError
    for another number of landmarks.
    """
    points = np.asarray(landmarks68, dtype=np.float64)
    if points.shape[-2:] != (68, 2):
        raise ValueError(f"landmarks are {points.shape}, not [..., 68, 2]")
    eye_right_side = points[..., 36:42, :].mean(axis=-2)
    eye_left_side = points[..., 42:48, :].mean(axis=-2)
    mouth = (points[..., 48, :] + points[..., 54, :]) / 2
    eyes = (eye_right_side + eye_left_side) / 2
    eye_to_eye = eye_left_side - eye_right_side
    eye_to_mouth = mouth - eyes
    x = eye_to_eye - _rotate_left(eye_to_mouth)
    length = np.maximum(
        EYE_SCALE * np.linalg.norm(eye_to_eye, axis=-1), MOUTH_SCALE * np.linalg.norm(eye_to_mouth, axis=-1)
    )
    # If all landmarks are at one place, they have no direction, and the crop's size is zero.
    x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) * length[..., None]
    y = _rotate_left(x)
    center = eyes + CENTER_SHIFT * eye_to_mouth
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y], axis=-2)


def _rotate_left(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate by a quarter turn, from +x (right) to +y (down)."""
    return np.stack([-v[..., 1], v[..., 0]], axis=-1)


def quad_to_affine(quad: ArrayLike, size: int) -> NDArray[np.float64]:
    """Return the map from pixels of the ``size`` px crop to image pixels: ``[..., 4, 2]`` to ``[..., 2, 3]``.

    ``image = affine[:, :2] @ crop + affine[:, 2]``. Only three corners are used: the quad must be a
    parallelogram, as `ffhq_quad` gives. `invert_affine` gives the opposite direction.
    """
    corners = np.asarray(quad, dtype=np.float64)
    origin = corners[..., 0, :]
    right = (corners[..., 3, :] - origin) / size
    down = (corners[..., 1, :] - origin) / size
    return np.stack([right, down, origin], axis=-1)


def invert_affine(affine: ArrayLike) -> NDArray[np.float64]:
    """Return the inverse of affine maps ``[..., 2, 3]``."""
    matrix = np.asarray(affine, dtype=np.float64)
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -(linear @ matrix[..., 2:])], axis=-1)


def align_ffhq(images_u8: NDArray[np.uint8], landmarks68: ArrayLike, size: int) -> NDArray[np.uint8]:
    """Return the FFHQ crop of one image ``[H, W, 3]`` or of a batch ``[B, H, W, 3]``, at ``size`` px, uint8.

    ``landmarks68`` is [68, 2] or [B, 68, 2] px. Outside the image its mirror image is used.
    """
    return sample_affine(images_u8, quad_to_affine(ffhq_quad(landmarks68), size), size)


def sample_affine(images_u8: NDArray[np.uint8], affine: ArrayLike, size: int) -> NDArray[np.uint8]:
    """Return crops of ``size`` px under maps ``[2, 3]`` or ``[B, 2, 3]`` from crop pixels to image pixels, uint8.

    Each output pixel averages a grid of bilinear samples, about one per image pixel, so that shrinking does not alias.
    Outside the image its mirror image is used.
    """
    images = np.asarray(images_u8)
    single = images.ndim == 3
    batch = images[None] if single else images
    maps = np.asarray(affine, dtype=np.float64)
    maps = np.broadcast_to(maps if maps.ndim == 3 else maps[None], (len(batch), 2, 3))
    crops = [_sample(image, matrix, size) for image, matrix in zip(batch, maps, strict=True)]
    return crops[0] if single else np.stack(crops)


def _sample(image: NDArray[np.uint8], affine: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    step_px = float(np.linalg.norm(affine[:, :2], axis=0).max())
    taps = min(max(math.ceil(step_px - 1e-6), 1), MAX_TAPS)
    scale = np.array([2.0 / width, 2.0 / height])[:, None]
    normalised = affine * scale - np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    matrix = torch.from_numpy(normalised).float()
    fine = (torch.arange(size * taps, dtype=torch.float32) + 0.5) / taps
    crop_y, crop_x = torch.meshgrid(fine, fine, indexing="ij")
    grid = torch.stack([crop_x, crop_y], dim=-1) @ matrix[:, :2].t() + matrix[:, 2]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    sampled = F.grid_sample(pixels, grid[None], "bilinear", padding_mode="reflection", align_corners=False)
    averaged = F.avg_pool2d(sampled, taps) if taps > 1 else sampled
    return averaged[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
