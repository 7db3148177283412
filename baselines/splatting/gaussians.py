"""Gaussians in front of a camera, and the picture that is drawn of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from baselines.camera import Camera

WIDTHS = {"mean": (3,), "scale": (3,), "rotation": (4,), "opacity": (), "colour": (3,)}


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians, all tensors float32 on one device.

    Attributes:
        mean: ``[N, 3]`` metres, camera space (x right, y down, z forward).
        scale: ``[N, 3]`` metres, the standard deviations along the three axes, at least 0.
        rotation: ``[N, 4]`` quaternions w, x, y, z of any length; a zero quaternion is no rotation.
        opacity: ``[N]`` in [0, 1].
        colour: ``[N, 3]``.

    Raises:
        ValueError: a tensor has another shape, type or device.
    """

    mean: Tensor
    scale: Tensor
    rotation: Tensor
    opacity: Tensor
    colour: Tensor

    def __post_init__(self) -> None:
        for name, width in WIDTHS.items():
            values = getattr(self, name)
            if values.shape != (len(self.mean), *width):
                raise ValueError(f"{name} has shape {tuple(values.shape)}; expected {(len(self.mean), *width)}")
            if values.dtype != torch.float32 or values.device != self.mean.device:
                raise ValueError(f"{name} is {values.dtype} on {values.device}; expected float32 on {self.mean.device}")

    def __len__(self) -> int:
        return len(self.mean)

    def tensors(self) -> tuple[Tensor, ...]:
        """Return mean, scale, rotation, opacity, colour."""
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class View:
    """How to draw: the camera, the picture's size, and the blur.

    Attributes:
        camera: focal length and centre in pixels of this picture.
        width_px, height_px: the size of the picture.
        blur_px2: variance that is added to each ellipse along both axes.
        antialiased: keep the total of a Gaussian in spite of the blur.
        nearest_m: Gaussians whose middle is not farther away than this are not drawn.
    """

    camera: Camera
    width_px: int
    height_px: int
    blur_px2: float = 0.3
    antialiased: bool = False
    nearest_m: float = 0.01


@dataclass(frozen=True)
class Splats:
    """A picture without background: ``colour [H, W, 3]`` times opacity, and ``opacity [H, W]`` in [0, 1]."""

    colour: Tensor
    opacity: Tensor

    def over(self, background: Tensor) -> Tensor:
        """Return the picture ``[H, W, 3]`` in front of a background ``[H, W, 3]`` or ``[3]``."""
        return self.colour + (1.0 - self.opacity)[..., None] * background
