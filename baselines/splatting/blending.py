"""Ellipses blended from near to far, with their gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from baselines.splatting.drawing_kernels import drawing_kernels
from baselines.splatting.gaussians import Splats
from baselines.splatting.projection import Footprints
from baselines.splatting.tile_lists import TileLists
from emo_bench.tracking.raycast import warp


def blended(ellipses: Footprints, colour: Tensor, lists: TileLists, width_px: int, height_px: int) -> Splats:
    """Draw ellipses over each other.

    Args:
        ellipses: the ellipses.
        colour: ``[N, 3]``.
        lists: the sorted lists of the tiles.
        width_px, height_px: size of the picture.
    """
    place, conic, peak, limit, bounds = ellipses
    drawn = _Blend.apply(place, conic, peak, colour, limit, bounds, lists, width_px, height_px)
    picture = drawn.reshape(height_px, width_px, 4)
    return Splats(picture[..., :3], 1.0 - picture[..., 3])


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        place: Tensor,
        conic: Tensor,
        peak: Tensor,
        colour: Tensor,
        limit: Tensor,
        bounds: Tensor,
        lists: TileLists,
        width_px: int,
        height_px: int,
    ) -> Tensor:
        """Return ``[H * W, 4]``: colour and the share of light that passes."""
        given = [values.detach().contiguous() for values in (place, conic, peak, limit, bounds, colour)]
        picture = torch.empty(width_px * height_px, 4, device=place.device)
        after = torch.zeros(width_px * height_px, dtype=torch.int32, device=place.device)
        wp = warp()
        outputs = [wp.from_torch(picture, dtype=wp.vec4), wp.from_torch(after)]
        _launch(drawing_kernels().draw, given, lists, width_px, height_px, outputs)
        ctx.save_for_backward(*given, picture, after)
        ctx.lists, ctx.size = lists, (width_px, height_px)
        return picture

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        wp = warp()
        saved = [values.detach() for values in ctx.saved_tensors]
        given, picture, after = saved[:6], saved[6], saved[7]
        width_px, height_px = ctx.size
        place, conic, peak, _, _, colour = given
        found = [torch.zeros_like(values) for values in (place, conic, peak, colour)]
        behind = torch.empty(len(picture), 2, device=picture.device)
        outputs = [
            wp.from_torch(picture, dtype=wp.vec4),
            wp.from_torch(after),
            wp.from_torch(gradient.contiguous(), dtype=wp.vec4),
            wp.from_torch(behind, dtype=wp.vec2),
            wp.from_torch(found[0], dtype=wp.vec2),
            wp.from_torch(found[1], dtype=wp.vec3),
            wp.from_torch(found[2]),
            wp.from_torch(found[3], dtype=wp.vec3),
        ]
        _launch(drawing_kernels().draw_back, given, ctx.lists, width_px, height_px, outputs)
        return (*found, None, None, None, None, None)


def _launch(
    kernel: Any, given: list[Tensor], lists: TileLists, width_px: int, height_px: int, outputs: list[Any]
) -> None:
    wp, device = warp(), given[0].device
    tile, block = lists.tiling.tile_px, lists.tiling.block_px
    kinds = (wp.vec2, wp.vec3, wp.float32, wp.float32, wp.vec4i, wp.vec3)
    arrays = [wp.from_torch(values, dtype=kind) for values, kind in zip(given, kinds, strict=True)]
    wp.launch(
        kernel,
        dim=(len(lists.starts) - 1, (tile // block) ** 2),
        inputs=[wp.from_torch(lists.starts), wp.from_torch(lists.listed), *arrays, width_px, height_px, tile, block],
        outputs=outputs,
        device=wp.device_from_torch(device),
    )
