"""Metrics of learned features: LPIPS, and shift-tolerant LPIPS as its fallback; both with two trunks."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emo_bench import assets
from emo_bench.metrics.batch import Batch, Masks
from emo_bench.metrics.feature_file import FeatureFile
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.perceptual import DISTANCES, PerceptualDistance
from emo_bench.perceptual.dists import DISTS_ASSETS, TextureStructureDistance

__all__ = ["DISTS", "LPIPS", "LPIPSVGG", "STLPIPS", "STLPIPSVGG", "PerceptualDistance"]

# `least_px` below: on smaller frames the trunk's deepest feature map has no pixel.
REGION_RULE = "each stage's distances, weighted by the mask's share of the pixel"
EMPTY = "the region is empty"
FEATURES = FeatureFile()
_PIXELS_AT_ONCE = 2**18  # limits the features in memory to about 300 MB, independent of the batch size


class _PerceptualMetric(Metric):
    distance: ClassVar[str]
    divisible = True
    _regional = False
    _recorded = False

    @classmethod
    def missing(cls) -> str | None:
        return assets.lacking(*DISTANCES[cls.distance].assets)

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._network, names = self._load()
        files = [assets.require(name) for name in names]
        self.backend = Backend(self.distance, files[0].sha256, ", ".join(file.path.name for file in files))

    def _load(self) -> tuple[nn.Module, tuple[str, ...]]:
        """Return the network with its weights, and the names of its assets."""
        return PerceptualDistance.from_assets(self.distance, self.device), DISTANCES[self.distance].assets

    def score_batch(self, batch: Batch) -> Scores:
        self._regional = self.info.takes_region and batch.region is not None
        self._recorded = batch.kept is not None and self.device == "cpu"
        return self._of(batch.levels("frames"), batch.levels("reference"), batch.region)

    def score(self, frames: NDArray[Any], reference: NDArray[Any] | None) -> Scores:
        assert reference is not None
        return self._of(frames, reference, None)

    def conditions(self) -> Mapping[str, str]:
        return {"region of LPIPS": REGION_RULE} if self._regional else {}

    def _of(self, frames: NDArray[Any], reference: NDArray[Any], region: Masks | None) -> Scores:
        step = max(1, _PIXELS_AT_ONCE // (frames.shape[1] * frames.shape[2]))
        parts = []
        with torch.inference_mode():
            for rows in (slice(i, i + step) for i in range(0, len(frames), step)):
                masks = () if region is None else (torch.from_numpy(region[rows]).to(self.device).float(),)
                if isinstance(self._network, PerceptualDistance):
                    mine = _features(self._network, frames[rows], self._to_input)
                    theirs = self._of_reference(self._network, reference[rows])
                    parts.append(self._network.between(mine, theirs, *masks))
                else:
                    parts.append(self._network(self._to_input(frames[rows]), self._to_input(reference[rows]), *masks))
        return torch.cat(parts).double().cpu().numpy() if parts else np.empty(0)

    def _of_reference(self, network: PerceptualDistance, reference: NDArray[Any]) -> list[torch.Tensor]:
        """Return the features of reference frames; of recorded ones they are kept for this process's next scoring."""
        if not self._recorded:
            return _features(network, reference, self._to_input)
        about = self.distance, self.backend.sha256, reference.shape[1:], reference.dtype.str
        keys = [(*about, hashlib.sha256(frame.tobytes()).digest()) for frame in reference]
        found = FEATURES.find(keys)
        if found is None:
            found = _features(network, reference, self._to_input)
            FEATURES.add(keys, found)
        return found

    def _to_input(self, frames: NDArray[Any]) -> torch.Tensor:
        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2)
        return images.float() / 127.5 - 1.0


def _features(
    network: PerceptualDistance, frames: NDArray[Any], to_input: Callable[[NDArray[Any]], torch.Tensor]
) -> list[torch.Tensor]:
    """Compute the features of frames; equal frames (a still picture, a repeated frame) are computed once."""
    places: dict[bytes, int] = {}
    rows = [places.setdefault(frame.tobytes(), len(places)) for frame in frames]
    if len(places) == len(frames):
        return network.features(to_input(frames))
    first = [rows.index(place) for place in range(len(places))]
    return [part[rows] for part in network.features(to_input(frames[first]))]


class LPIPS(_PerceptualMetric):
    """LPIPS v0.1 with AlexNet (Zhang et al. 2018); needs torchvision's AlexNet weights on disk."""

    info = MetricInfo(
        "lpips",
        "1",
        "LPIPS v0.1, AlexNet",
        "lower",
        "1",
        value_range="[-1, 1]",
        fallback="st-lpips",
        least_px=31,
        takes_region=True,
        undefined=EMPTY,
    )
    distance = "lpips-alex"


class STLPIPS(_PerceptualMetric):
    """Shift-tolerant LPIPS with AlexNet (Ghildyal and Liu 2022); its values are not comparable with LPIPS."""

    info = MetricInfo(
        "st-lpips",
        "1",
        "Shift-tolerant LPIPS, AlexNet",
        "lower",
        "1",
        value_range="[-1, 1]",
        least_px=21,
        takes_region=True,
        undefined=EMPTY,
    )
    distance = "stlpips-alex"


class LPIPSVGG(_PerceptualMetric):
    """LPIPS v0.1 with VGG-16; needs torchvision's VGG-16 weights on disk. Its values are larger than with AlexNet."""

    info = replace(LPIPS.info, id="lpips-vgg", title="LPIPS v0.1, VGG-16", fallback="st-lpips-vgg", least_px=16)
    distance = "lpips-vgg"


class DISTS(_PerceptualMetric):
    """DISTS (Ding et al. 2020): similarity of texture and structure of VGG-16's features, at the frames' own size."""

    info = MetricInfo("dists", "1", "DISTS, VGG-16", "lower", "1", value_range="[0, 1]", least_px=2)
    distance = "dists"

    @classmethod
    def missing(cls) -> str | None:
        return assets.lacking(*DISTS_ASSETS)

    def _load(self) -> tuple[nn.Module, tuple[str, ...]]:
        return TextureStructureDistance.from_assets(self.device), DISTS_ASSETS

    def _of(self, frames: NDArray[Any], reference: NDArray[Any], region: Masks | None) -> Scores:
        return super()._of(frames, reference, None)

    def _to_input(self, frames: NDArray[Any]) -> torch.Tensor:
        return (super()._to_input(frames) + 1.0) / 2.0


class STLPIPSVGG(_PerceptualMetric):
    """Shift-tolerant LPIPS with VGG-16 (Ghildyal and Liu 2022)."""

    info = MetricInfo(
        "st-lpips-vgg",
        "1",
        "Shift-tolerant LPIPS, VGG-16",
        "lower",
        "1",
        value_range="[-1, 1]",
        least_px=18,
        takes_region=True,
        undefined=EMPTY,
    )
    distance = "stlpips-vgg"
