"""LPIPS v0.1 (Zhang et al. 2018) and shift-tolerant LPIPS (Ghildyal and Liu 2022), from weights on disk.

Metrics and training losses use the same implementation. It computes the same values as the packages `lpips` and
`stlpips-pytorch` on the same weights. The packages are used only as sources of weights, because `lpips` would download
its trunk and `stlpips-pytorch` imports network code under a non-commercial licence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.perceptual.trunk import ALEX_CHANNELS, VGG_CHANNELS, alex_stages, vgg_stages
from emo_bench.untrusted.refusal import reading
from emo_bench.untrusted.torch_archive import read_torch

_NORM_EPSILON = 1e-10


@dataclass(frozen=True)
class Distance:
    """A named combination of trunk, number of feature stages and weights (asset names)."""

    trunk: str
    shift_tolerant: bool
    stages: int
    assets: tuple[str, ...]


DISTANCES: Mapping[str, Distance] = {
    "stlpips-alex": Distance("alex", True, 5, ("stlpips-alex",)),
    "stlpips-vgg": Distance("vgg", True, 5, ("stlpips-vgg",)),
    "stlpips-vgg-3": Distance("vgg", True, 3, ("stlpips-vgg",)),
    "lpips-alex": Distance("alex", False, 5, ("lpips-alex", "lpips-alex-heads")),
    "lpips-vgg": Distance("vgg", False, 5, ("lpips-vgg", "lpips-vgg-heads")),
}


class PerceptualDistance(nn.Module):
    """Weighted squared distance of unit-normalised features, averaged over space and summed over stages.

    Call with two float tensors [B,3,H,W] in [-1,1] (RGB), H and W at least 32; it returns [B], 0 for equal images. It
    is differentiable in both; the weights are frozen. Construct it with `from_assets`; the plain constructor gives
    random weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: str, shift_tolerant: bool, stages: int = 5) -> None:
        super().__init__()
        channels, build = (ALEX_CHANNELS, alex_stages) if trunk == "alex" else (VGG_CHANNELS, vgg_stages)
        self.stages = nn.ModuleList(build(shift_tolerant)[:stages])
        self.heads = nn.ParameterList([nn.Parameter(torch.rand(1, c, 1, 1)) for c in channels[:stages]])
        # ImageNet's mean and standard deviation, converted for inputs in [-1,1] instead of [0,1], rounded as in LPIPS
        # v0.1.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_assets(cls, name: str, device: str | torch.device = "cpu") -> "PerceptualDistance":
        """Construct a distance of `DISTANCES` with its weights; a UserError names a missing asset and the remedy."""
        if name not in DISTANCES:
            raise UserError(f"unknown perceptual distance {name!r}; known: {', '.join(DISTANCES)}")
        chosen = DISTANCES[name]
        weights: dict[str, Tensor] = {}
        for asset in chosen.assets:
            path = assets.require(asset).path
            with reading(path, f"file of the weights {asset}"):
                weights.update(read_torch(path, f"file of the weights {asset}"))
        network = cls(chosen.trunk, chosen.shift_tolerant, chosen.stages)
        with reading(path, f"file of the weights {asset}"):
            network.load_published_weights(weights)
        return network.to(device).to(memory_format=torch.channels_last)

    def load_published_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights in their published form: convolutions in network order (`net.*` or torchvision's
        `features.*`, weight before bias), heads as `lin<k>.model.1.weight`.
        """
        published = [
            value
            for key, value in weights.items()
            if key.startswith(("net.", "features.")) and key.endswith((".weight", ".bias"))
        ]
        own = [parameter for stage in self.stages for parameter in stage.parameters()]
        own += list(self.heads)
        heads = [weights[f"lin{k}.model.1.weight"] for k in range(len(self.heads))]
        trunk = published[: len(own) - len(heads)]
        for parameter, value in zip(own, [*trunk, *heads], strict=True):
            if parameter.shape != value.shape:
                raise ValueError(f"weights do not fit: {tuple(value.shape)} for {tuple(parameter.shape)}")
            parameter.data.copy_(value)

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute unit-normalised features of every stage, [B,C,h,w] each."""
        current = (images - self.shift) / self.scale
        current = current.contiguous(memory_format=torch.channels_last)
        found = []
        for stage in self.stages:
            current = stage(current)
            found.append(_unit_length(current))
        return found

    def between(self, features: list[Tensor], others: list[Tensor], masks: Tensor | None = None) -> Tensor:
        """Compute the distance of two lists of `features`: [B].

        With masks [B,H,W] float32 in [0,1], each stage is averaged with the share of the mask in each of its pixels as
        the weight; NaN if a mask is 0 everywhere.
        """
        total = features[0].new_zeros(len(features[0]), dtype=torch.float32)
        for mine, theirs, head in zip(features, others, self.heads, strict=True):
            differences = ((mine - theirs).square() * head).sum(1)
            if masks is None:
                total = total + differences.mean((1, 2))
                continue
            weights = F.adaptive_avg_pool2d(masks[:, None], differences.shape[1:])[:, 0]
            total = total + (differences * weights).sum((1, 2)) / weights.sum((1, 2))
        return total

    def forward(self, images: Tensor, others: Tensor, masks: Tensor | None = None) -> Tensor:
        return self.between(self.features(images), self.features(others), masks)


def _unit_length(features: Tensor) -> Tensor:
    features = features.float()
    squared = features.square().sum(1, keepdim=True)
    # The lower bound under the root keeps the gradient finite where no feature is active; the value does not change.
    return features / (squared.clamp_min(_NORM_EPSILON**2).sqrt() + _NORM_EPSILON)


def missing_assets(name: str) -> tuple[str, ...]:
    """Return the assets that the distance needs and that are not on this machine."""
    return tuple(asset for asset in DISTANCES[name].assets if assets.locate(asset) is None)


def perceptual_loss(name: str, device: str | torch.device = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Return a training loss: (a, b), each [B,3,H,W] in [-1,1] -> [B], with gradients for all inputs that require them.

    `name` is one of `DISTANCES`; "stlpips-vgg-3" uses only the first three stages and is the fastest. The loss follows
    the caller's autocast (features are normalised in float32). A missing asset is a UserError.
    """
    return PerceptualDistance.from_assets(name, device)
