"""DISTS (Ding, Ma, Wang and Simoncelli 2020): similarity of texture and structure, from weights on disk."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_bench import assets
from emo_bench.perceptual.trunk import VGG_CHANNELS, VGG_CONVOLUTIONS
from emo_bench.untrusted.refusal import reading
from emo_bench.untrusted.torch_archive import read_torch

DISTS_ASSETS = ("lpips-vgg", "dists-heads")
# Equation 5 of the paper, c1 and c2.
SMALL = 1e-6
UNDER_ROOT = 1e-12


class RootMeanSquarePool(nn.Module):
    """Halve maps by the root of the squares' mean under a window of 3 taps: [B,C,H,W] -> [B,C,ceil(H/2),ceil(W/2)]."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        # The inner three of a Hann window of five.
        window = torch.tensor([0.5, 1.0, 0.5])
        kernel = torch.outer(window, window)
        self.register_buffer("taps", (kernel / kernel.sum())[None, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        kernel = self.taps.expand(features.shape[1], -1, -1, -1)
        means = F.conv2d(features.square(), kernel, stride=2, padding=1, groups=features.shape[1])
        return (means + UNDER_ROOT).sqrt()


class TextureStructureDistance(nn.Module):
    """1 - the weighted similarity of means (texture) and covariances (structure) of the image and of VGG-16's maps.

    Call with two float tensors [B,3,H,W] in [0,1] (RGB); it returns [B], 0 for equal images. The authors shrink large
    pictures to 256 px first; this is left to the caller. Construct it with `from_assets`; the plain constructor gives
    random weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        stages, before = [], 3
        for index, (channels, convolutions) in enumerate(zip(VGG_CHANNELS, VGG_CONVOLUTIONS, strict=True)):
            layers: list[nn.Module] = [RootMeanSquarePool()] if index else []
            for _ in range(convolutions):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        count = 3 + sum(VGG_CHANNELS)
        self.texture = nn.Parameter(torch.rand(count))
        self.structure = nn.Parameter(torch.rand(count))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_assets(cls, device: str | torch.device = "cpu") -> TextureStructureDistance:
        """Construct it with its weights; a UserError names a missing asset and the remedy."""
        weights: dict[str, Tensor] = {}
        network = cls()
        for asset in DISTS_ASSETS:
            path = assets.require(asset).path
            with reading(path, f"file of the weights {asset}"):
                weights.update(read_torch(path, f"file of the weights {asset}"))
        with reading(path, f"file of the weights {asset}"):
            network.load_published_weights(weights)
        return network.to(device)

    def load_published_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights in their published form: torchvision's ``features.*`` of VGG-16, ``alpha`` and ``beta``."""
        own = [parameter for stage in self.stages for parameter in stage.parameters()]
        published = [value for key, value in weights.items() if key.startswith("features.")]
        own += [self.texture, self.structure]
        published += [weights["alpha"].flatten(), weights["beta"].flatten()]
        for parameter, value in zip(own, published, strict=True):
            if parameter.shape != value.shape:
                raise ValueError(f"weights do not fit: {tuple(value.shape)} for {tuple(parameter.shape)}")
            parameter.data.copy_(value)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the images and the maps of every stage, [B,C,h,w] each."""
        found, current = [images], (images - self.mean) / self.deviation
        for stage in self.stages:
            current = stage(current)
            found.append(current)
        return found

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        texture, structure = [], []
        for x, y in zip(self.features(images), self.features(others), strict=True):
            mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
            texture.append((2 * mean_x * mean_y + SMALL) / (mean_x.square() + mean_y.square() + SMALL))
            x, y = x - mean_x[:, :, None, None], y - mean_y[:, :, None, None]
            variances = x.square().mean((2, 3)) + y.square().mean((2, 3))
            structure.append((2 * (x * y).mean((2, 3)) + SMALL) / (variances + SMALL))
        total = self.texture.sum() + self.structure.sum()
        alike = torch.cat(texture, 1) @ self.texture + torch.cat(structure, 1) @ self.structure
        return 1.0 - alike / total
