"""Gaussians to ellipses in a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from baselines.splatting.gaussians import Gaussians, View
from baselines.splatting.projection_kernel import projection_kernel
from emo_bench.tracking.raycast import warp


class Footprints(NamedTuple):
    """The ellipses of N Gaussians; the first three have gradients.

    Attributes:
        place: ``[N, 2]`` pixels.
        conic: ``[N, 3]`` a, b, c of ``a x^2 + 2 b x y + c y^2``, the inverse of the blurred covariance, px^-2.
        peak: ``[N]`` opacity in the middle.
        limit: ``[N]`` the value of that form where the Gaussian becomes too faint.
        bounds: ``[N, 4]`` int32, first column, end column, first row, end row; all 0 if the Gaussian is not drawn.
    """

    place: Tensor
    conic: Tensor
    peak: Tensor
    limit: Tensor
    bounds: Tensor


def footprints(gaussians: Gaussians, view: View) -> Footprints:
    """Project Gaussians. What is behind the camera, too faint, or not finite is not drawn and has no gradient."""
    mean, scale, rotation, opacity, _ = gaussians.tensors()
    return Footprints(*_Project.apply(mean, scale, rotation, opacity, view))


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, mean: Tensor, scale: Tensor, rotation: Tensor, opacity: Tensor, view: View
    ) -> tuple[Tensor, ...]:
        given = [values.detach().contiguous() for values in (mean, scale, rotation, opacity)]
        count, device = len(mean), mean.device
        made = [torch.zeros(count, width, device=device) for width in (2, 3)]
        made += [torch.zeros(count, device=device) for _ in range(2)]
        made.append(torch.zeros(count, 4, dtype=torch.int32, device=device))
        _launch(view, given, made)
        ctx.save_for_backward(*given, *made)
        ctx.view = view
        ctx.mark_non_differentiable(*made[3:])
        return tuple(made)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        saved = [values.detach() for values in ctx.saved_tensors]
        found = [torch.zeros_like(values) for values in saved[:4]]
        wanted = [gradient.contiguous() for gradient in gradients[:3]]
        _launch(ctx.view, saved[:4], saved[4:], found, [*wanted, torch.zeros_like(saved[7])])
        return *found, None


def _launch(view: View, given: Any, made: Any, given_grad: Any = None, made_grad: Any = None) -> None:
    """Launch the kernel, or its gradient if arrays for gradients are given."""
    if not len(given[0]):
        return
    wp = warp()
    types = (wp.vec3, wp.vec3, wp.vec4, wp.float32), (wp.vec2, wp.vec3, wp.float32, wp.float32, wp.vec4i)

    def arrays(tensors: Any, kinds: Any) -> list[Any]:
        return [wp.from_torch(values, dtype=kind) for values, kind in zip(tensors, kinds, strict=False)]

    camera = view.camera
    numbers = [
        float(camera.focal_px),
        wp.vec2(*camera.center_px),
        wp.vec2(float(view.width_px), float(view.height_px)),
        float(view.nearest_m),
        float(view.blur_px2),
        int(view.antialiased),
    ]
    more: dict[str, Any] = {}
    if given_grad is not None:
        none = [type(number)() for number in numbers]
        more = {
            "adjoint": True,
            "adj_inputs": [*arrays(given_grad, types[0]), *none],
            "adj_outputs": [*arrays(made_grad, types[1]), None],
        }
    wp.launch(
        projection_kernel(),
        dim=len(given[0]),
        inputs=[*arrays(given, types[0]), *numbers],
        outputs=arrays(made, types[1]),
        device=wp.device_from_torch(given[0].device),
        **more,
    )
