"""Draw Gaussians, differentiably: by our kernels, or by gsplat on CUDA."""

from __future__ import annotations

from baselines.splatting.blending import blended
from baselines.splatting.by_gsplat import splat_by_gsplat, usable_gsplat
from baselines.splatting.gaussians import Gaussians, Splats, View
from baselines.splatting.projection import footprints
from baselines.splatting.tile_lists import CPU_TILING, CUDA_TILING, Tiling, tile_lists


def splat(gaussians: Gaussians, view: View) -> Splats:
    """Draw Gaussians; gradients flow to mean, scale, rotation, opacity and colour.

    The order of depth, the pixels of each ellipse, and the end of a pixel (when nearly no light passes) have no
    gradient. On a CPU the result does not depend on the number of threads.
    """
    package = usable_gsplat(gaussians.mean.device)
    return splat_by_kernels(gaussians, view) if package is None else splat_by_gsplat(package, gaussians, view)


def splat_by_kernels(gaussians: Gaussians, view: View, tiling: Tiling | None = None) -> Splats:
    """Draw by this project's kernels; without ``tiling``, with the one for the tensors' device."""
    if tiling is None:
        tiling = CUDA_TILING if gaussians.mean.is_cuda else CPU_TILING
    width, height = view.width_px, view.height_px
    ellipses = footprints(gaussians, view)
    depth = gaussians.mean.detach()[:, 2].contiguous()
    lists = tile_lists(ellipses.bounds, depth, width, height, tiling)
    return blended(ellipses, gaussians.colour, lists, width, height)
