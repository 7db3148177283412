"""The same picture by gsplat 1.5 or newer, which is faster on CUDA."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from baselines.camera import Camera
from baselines.gpu_packages import gsplat, log
from baselines.splatting.gaussians import Gaussians, Splats, View


@cache
def usable_gsplat(device: torch.device) -> ModuleType | None:
    """Return gsplat if it is installed and draws on this CUDA device; if it is installed and does not, log why.

    gsplat can be imported where its CUDA part is missing. So one Gaussian is drawn to see whether it works.
    """
    if device.type != "cuda" or (package := gsplat()) is None:
        return None
    one = torch.ones(1, device=device)
    probe = Gaussians(
        one.new_tensor([[0.0, 0.0, 1.0]]), one.new_full((1, 3), 0.1), one.new_ones(1, 4), one, one.new_ones(1, 3)
    )
    try:
        drawn = splat_by_gsplat(package, probe, View(Camera(8.0, (4.0, 4.0)), 8, 8))
        works = bool(torch.isfinite(drawn.opacity).all())
    except Exception as error:  # noqa: BLE001  built for another GPU or PyTorch, it raises anything
        log.warning("gsplat is installed but does not draw, so it is not used: %s", error)
        return None
    if not works:
        log.warning("gsplat is installed but draws values that are not finite, so it is not used")
    return package if works else None


def splat_by_gsplat(package: ModuleType, gaussians: Gaussians, view: View) -> Splats:
    """Draw Gaussians by gsplat's ``rasterization``."""
    mean, camera = gaussians.mean, view.camera
    lens = mean.new_tensor(
        [[camera.focal_px, 0.0, camera.center_px[0]], [0.0, camera.focal_px, camera.center_px[1]], [0.0, 0.0, 1.0]]
    )
    colour, opacity, _ = package.rasterization(
        means=mean,
        quats=gaussians.rotation,
        scales=gaussians.scale,
        opacities=gaussians.opacity,
        colors=gaussians.colour,
        viewmats=torch.eye(4, device=mean.device)[None],
        Ks=lens[None],
        width=view.width_px,
        height=view.height_px,
        near_plane=view.nearest_m,
        eps2d=view.blur_px2,
        packed=False,
        rasterize_mode="antialiased" if view.antialiased else "classic",
    )
    return Splats(colour[0], opacity[0, ..., 0])
