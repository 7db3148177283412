"""DISTS against its author's package, with the published weights on a trunk that is random or the user's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from emo_bench import assets
from emo_bench.metrics import score
from emo_bench.metrics.perceptual import DISTS
from emo_bench.perceptual.dists import RootMeanSquarePool, TextureStructureDistance

needs_heads = pytest.mark.skipif(assets.locate("dists-heads") is None, reason="package dists-pytorch is not installed")


@needs_heads
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(96, 96), (97, 82)])
def test_dists_is_its_authors(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The package would have to download VGG-16, so its trunk is random here; alpha and beta are the published ones."""
    package = pytest.importorskip("DISTS_pytorch.DISTS_pt")
    torch.manual_seed(0)
    trunk = package.models.vgg16(weights=None)
    monkeypatch.setattr(package.models, "vgg16", lambda **_: trunk)
    published = torch.load(assets.require("dists-heads").path, weights_only=True)
    original = package.DISTS(load_weights=False)
    original.alpha.data, original.beta.data = published["alpha"], published["beta"]
    ours = TextureStructureDistance()
    ours.load_published_weights({f"features.{k}": v for k, v in trunk.features.state_dict().items()} | dict(published))
    portrait, cat = data.astronaut()[40 : 40 + size[0], 180 : 180 + size[1]], data.chelsea()[: size[0], : size[1]]
    reference = torch.from_numpy(np.stack([portrait, cat])).permute(0, 3, 1, 2) / 255.0
    images = (reference.roll(2, dims=3) + 0.1 * torch.randn(reference.shape)).clamp(0, 1)
    with torch.no_grad():
        expected = original(images, reference)
        assert expected.min() > 1e-3
        torch.testing.assert_close(ours(images, reference), expected, rtol=1e-4, atol=1e-6)
        assert ours(images, images).abs().max() < 1e-6


def test_pooling_keeps_the_mean_square_of_a_flat_map() -> None:
    flat = torch.full((1, 2, 9, 9), -3.0)
    torch.testing.assert_close(RootMeanSquarePool()(flat)[..., 1:-1, 1:-1], torch.full((1, 2, 3, 3), 3.0))


def test_without_the_trunk_the_record_says_what_to_fetch() -> None:
    if DISTS.missing() is None:
        pytest.skip("the weights of DISTS are here")
    frames = data.astronaut()[None, :64, :64]
    backend = score(frames, frames, metrics=("dists",)).attrs["records"]["dists"]["backend"]
    assert backend["name"] == "n/a" and "lpips-vgg" in backend["detail"]
