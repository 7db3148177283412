"""Gaussian splatting: values and gradients against its definition in float64, on ordinary and degenerate scenes."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.camera import Camera
from baselines.splatting.by_gsplat import splat_by_gsplat
from baselines.splatting.gaussians import Gaussians, View
from baselines.splatting.rasterise import splat, splat_by_kernels
from baselines.splatting.tile_lists import CPU_TILING, CUDA_TILING, Tiling
from tests.baselines.splatting_reference import reference

# Neither side is a multiple of a tile's.
WIDTH, HEIGHT, FOCAL, CENTER = 37, 21, 36.0, (18.0, 10.5)
VIEW = View(Camera(FOCAL, CENTER), WIDTH, HEIGHT)
TOLERANCE = 1e-5

Scene = dict[str, Tensor]


def random_scene(count: int = 150, seed: int = 0) -> Scene:
    draw = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=draw)

    depth = uniform(0.6, 2.0, count, 1)
    return {
        "mean": torch.cat((uniform(-0.45, 0.45, count, 2) * depth, depth), dim=1),
        "scale": uniform(0.0, 0.06, count, 3),
        "rotation": torch.randn(count, 4, generator=draw),
        "opacity": uniform(0.0, 1.0, count),
        "colour": uniform(0.0, 1.0, count, 3),
    }


def behind_the_camera() -> Scene:
    scene = random_scene(60, 1)
    scene["mean"][:30, 2] *= -1.0
    scene["mean"][30:34, 2] = torch.tensor([0.0, -0.0, 0.01, 1e-20])
    # Just in front of the camera and far outside the picture.
    scene["mean"][34:38] = torch.tensor([[0.5, 0.0, 0.02], [-3.0, 2.0, 0.05], [40.0, 0.0, 0.3], [0.0, -0.1, 0.011]])
    return scene


def zero_scale() -> Scene:
    scene = random_scene(60, 2)
    scene["scale"][:20] = 0.0
    scene["scale"][20:40, 0] = 0.0
    scene["scale"][40:50, 1:] = 0.0
    scene["rotation"][:5] = 0.0
    return scene


def in_one_pixel() -> Scene:
    scene = random_scene(2000, 3)
    scene["mean"] *= torch.tensor([0.01, 0.01, 1.0])
    scene["scale"] *= 0.5
    scene["opacity"] *= 0.04
    return scene


def opaque_and_clear() -> Scene:
    scene = random_scene(90, 4)
    scene["opacity"][:30] = 0.0
    scene["opacity"][30:60] = 1.0
    # The middle of this one is exactly on a pixel's centre.
    scene["mean"][30] = torch.tensor([0.5 / FOCAL, 0.0, 1.0])
    scene["scale"][30] = 0.05
    return scene


def large_and_equally_far() -> Scene:
    scene = random_scene(40, 5)
    scene["scale"][:10] = torch.rand(10, 3, generator=torch.Generator().manual_seed(0)) * 3.0
    scene["mean"][::2, 2] = 1.25
    return scene


SCENES = {
    made.__name__: made
    for made in (random_scene, behind_the_camera, zero_scale, in_one_pixel, opaque_and_clear, large_and_equally_far)
}


def drawn_with_gradients(scene: Scene, draw: Callable[..., Any], dtype: torch.dtype) -> tuple[list[Tensor], Scene]:
    """Colour and opacity, and the gradients of one random weighting of them."""
    given = {name: values.to(dtype, copy=True).requires_grad_(True) for name, values in scene.items()}
    colour, opacity = draw(**given)
    weights = torch.randn(HEIGHT, WIDTH, 4, generator=torch.Generator().manual_seed(9)).to(dtype)
    ((colour * weights[..., :3]).sum() + (opacity * weights[..., 3]).sum()).backward()
    found = {name: values.grad for name, values in given.items()}
    assert all(gradient is not None for gradient in found.values())
    return [colour.detach(), opacity.detach()], found  # type: ignore[return-value]


def ours(view: View, tiling: Tiling) -> Callable[..., tuple[Tensor, Tensor]]:
    def draw(**given: Tensor) -> tuple[Tensor, Tensor]:
        made = splat_by_kernels(Gaussians(**given), view, tiling)
        return made.colour, made.opacity

    return draw


def by_definition(antialiased: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    def draw(**given: Any) -> tuple[Tensor, Tensor]:
        return reference(**given, focal=FOCAL, center=CENTER, size=(WIDTH, HEIGHT), antialiased=antialiased)

    return draw


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", SCENES)
def test_values_and_gradients_are_those_of_the_definition(name: str, antialiased: bool) -> None:
    scene = SCENES[name]()
    values, gradients = drawn_with_gradients(scene, by_definition(antialiased), torch.float64)
    assert float(values[1].max()) > 0.2, "the scene shows nothing"
    view = View(VIEW.camera, WIDTH, HEIGHT, antialiased=antialiased)
    for tiling in (CPU_TILING, CUDA_TILING):
        found, slopes = drawn_with_gradients(scene, ours(view, tiling), torch.float32)
        for expected, value in zip(values, found, strict=True):
            np.testing.assert_allclose(value, expected, atol=TOLERANCE, rtol=0)
        for key, expected in gradients.items():
            size = max(1.0, float(expected.abs().max()))
            np.testing.assert_allclose(slopes[key] / size, expected / size, atol=TOLERANCE, rtol=0, err_msg=key)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.8])
def test_the_antialiasing_term_keeps_the_total_of_a_gaussian_smaller_than_a_pixel(shift: float) -> None:
    """The integral of opacity times a normal distribution, less the part that is fainter than one of 255 levels."""
    width_px, opacity = 0.4, 0.9
    scene = random_scene(1)
    scene["mean"][0] = torch.tensor([shift / FOCAL, 0.5 * shift / FOCAL, 1.0])
    scene["scale"][0], scene["opacity"][0] = width_px / FOCAL, opacity
    peak = opacity * width_px**2 / (width_px**2 + 0.3)
    expected = 2.0 * math.pi * width_px**2 * opacity * (1.0 - 1.0 / (255.0 * peak))
    view = View(VIEW.camera, WIDTH, HEIGHT, antialiased=True)
    assert float(splat(Gaussians(**scene), view).opacity.sum()) == pytest.approx(expected, rel=0.02)
    blurred = 2.0 * math.pi * (width_px**2 + 0.3) * opacity * (1.0 - 1.0 / (255.0 * opacity))
    assert float(splat(Gaussians(**scene), VIEW).opacity.sum()) == pytest.approx(blurred, rel=0.02)


def test_numbers_that_are_not_finite_are_not_drawn_and_reach_no_other_gradient() -> None:
    scene = random_scene(40)
    bad = {name: values.clone() for name, values in scene.items()}
    bad["mean"][3, 0], bad["mean"][4, 2], bad["scale"][5, 1] = math.nan, math.inf, math.inf
    bad["rotation"][6, 2], bad["opacity"][7], bad["scale"][8] = math.nan, math.nan, 1e20
    finite = torch.ones(40, dtype=torch.bool)
    finite[3:9] = False
    without, slopes = drawn_with_gradients(
        {k: v[finite] for k, v in scene.items()}, ours(VIEW, CPU_TILING), torch.float32
    )
    found, gradients = drawn_with_gradients(bad, ours(VIEW, CPU_TILING), torch.float32)
    for value, expected in zip(found, without, strict=True):
        np.testing.assert_array_equal(value, expected)
    for name, expected in slopes.items():
        np.testing.assert_array_equal(gradients[name][finite], expected)


@pytest.mark.parametrize("count", [0, 5])
def test_where_nothing_is_in_view_the_picture_is_empty(count: int) -> None:
    scene = random_scene(5)
    scene["mean"][:, 2] *= -1.0
    given = {name: values[:count].clone().requires_grad_(True) for name, values in scene.items()}
    drawn = splat(Gaussians(**given), VIEW)
    assert drawn.colour.shape == (HEIGHT, WIDTH, 3)
    assert not drawn.colour.any() and not drawn.opacity.any()
    assert torch.equal(drawn.over(torch.full((3,), 0.25)), torch.full((HEIGHT, WIDTH, 3), 0.25))
    (drawn.colour.sum() + drawn.opacity.sum()).backward()
    assert all(values.grad is not None and not values.grad.any() for values in given.values())


def test_the_same_scene_gives_the_same_bits() -> None:
    scene = random_scene(500, 8)
    first, second = (drawn_with_gradients(scene, ours(VIEW, CPU_TILING), torch.float32) for _ in range(2))
    for a, b in zip((*first[0], *first[1].values()), (*second[0], *second[1].values()), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("rotation", torch.ones(9, 3), "rotation has shape"),
        ("opacity", torch.ones(9, 1), "opacity has shape"),
        ("mean", torch.ones(9, 3, dtype=torch.float64), "mean is torch.float64"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_refused(name: str, values: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Gaussians(**{**random_scene(9), name: values})


def as_gsplat_documents(**given: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """gsplat's ``rasterization`` of one camera, by the definition."""
    lens = given["Ks"][0]
    assert torch.equal(given["viewmats"], torch.eye(4)[None])
    assert float(lens[0, 0]) == float(lens[1, 1])
    names = {"mean": "means", "scale": "scales", "rotation": "quats", "opacity": "opacities", "colour": "colors"}
    colour, opacity = reference(
        **{ours: given[theirs].double() for ours, theirs in names.items()},
        focal=float(lens[0, 0]),
        center=(float(lens[0, 2]), float(lens[1, 2])),
        size=(given["width"], given["height"]),
        blur=given["eps2d"],
        antialiased={"antialiased": True, "classic": False}[given["rasterize_mode"]],
        nearest=given["near_plane"],
    )
    return colour.float()[None], opacity.float()[None, ..., None], {}


@pytest.mark.parametrize("antialiased", [False, True])
def test_gsplat_is_asked_for_the_same_picture(antialiased: bool) -> None:
    package = types.ModuleType("gsplat")
    package.__dict__["rasterization"] = as_gsplat_documents
    view = View(VIEW.camera, WIDTH, HEIGHT, blur_px2=0.2, antialiased=antialiased, nearest_m=0.8)
    gaussians = Gaussians(**random_scene(60, 6))
    ours, theirs = splat_by_kernels(gaussians, view), splat_by_gsplat(package, gaussians, view)
    np.testing.assert_allclose(theirs.colour, ours.colour, atol=TOLERANCE)
    np.testing.assert_allclose(theirs.opacity, ours.opacity, atol=TOLERANCE)
