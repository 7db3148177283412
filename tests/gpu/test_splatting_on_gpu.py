"""Gaussian splatting on a GPU: the same picture and gradients as on a CPU, and gsplat where it works."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import gpu_packages
from baselines.gpu_packages import gsplat
from baselines.splatting.by_gsplat import splat_by_gsplat, usable_gsplat
from baselines.splatting.gaussians import Gaussians, Splats, View
from baselines.splatting.rasterise import splat, splat_by_kernels
from tests.baselines.test_splatting import HEIGHT, VIEW, WIDTH, random_scene
from tests.gpu.conftest import REAL


def drawn(device: str, draw: object, view: View) -> list[np.ndarray]:
    """Colour, opacity and the five gradients of a sum of both, of a scene on a device."""
    given = {name: values.to(device).requires_grad_(True) for name, values in random_scene(200, 11).items()}
    made = draw(Gaussians(**given), view)  # type: ignore[operator]
    assert isinstance(made, Splats)
    weights = torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)).to(device)
    found = torch.autograd.grad((made.colour.sum(dim=2) * weights + made.opacity).sum(), list(given.values()))
    return [values.detach().cpu().numpy() for values in (made.colour, made.opacity, *found)]


def assert_alike(ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        size = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a / size, b / size, atol=tolerance, rtol=0)


def test_a_gpu_draws_what_a_cpu_draws(gpu: str) -> None:
    assert_alike(drawn("cuda:0", splat_by_kernels, VIEW), drawn("cpu", splat_by_kernels, VIEW), 1e-4)


@pytest.mark.skipif(not REAL, reason="needs a GPU")
@pytest.mark.parametrize("antialiased", [False, True])
def test_gsplat_draws_what_our_kernels_draw(antialiased: bool) -> None:
    package = usable_gsplat(torch.device("cuda:0"))
    if package is None:
        pytest.skip("gsplat is not installed or does not work here")
    view = View(VIEW.camera, WIDTH, HEIGHT, antialiased=antialiased)
    theirs = drawn("cuda:0", lambda gaussians, how: splat_by_gsplat(package, gaussians, how), view)
    # gsplat's exponential is a fast one.
    assert_alike(drawn("cuda:0", splat_by_kernels, view), theirs, 1e-3)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("__version__ = '1.4.0'", "gsplat 1.4.0 is older than 1.5"),
        ("__version__ = '1.5.3'\ndef rasterization(**given):\n    raise AttributeError('no _C')", "no _C"),
        (
            "__version__ = '1.5.3'\ndef rasterization(means, width, height, **given):\n"
            "    nothing = means.new_full((1, height, width, 3), float('nan'))\n    return nothing, nothing, {}",
            "not finite",
        ),
    ],
)
def test_a_gsplat_that_does_not_draw_is_not_used_and_the_log_says_so(
    source: str, said: str, gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gsplat.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gpu_packages.log, "propagate", True)
    monkeypatch.delitem(sys.modules, "gsplat", raising=False)
    for cached in (gpu_packages._loaded, usable_gsplat):
        cached.cache_clear()
    try:
        with caplog.at_level("WARNING"):
            found = drawn("cuda:0", splat, VIEW)
        assert said in caplog.text
        assert gsplat() is None or usable_gsplat(torch.device("cuda:0")) is None
        assert_alike(found, drawn("cpu", splat, VIEW), 1e-4)
    finally:
        monkeypatch.delitem(sys.modules, "gsplat", raising=False)
        for cached in (gpu_packages._loaded, usable_gsplat):
            cached.cache_clear()
