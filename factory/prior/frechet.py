"""Frechet distance between two sets of images on the features of a perceptual distance.

It is the formula of FID (Heusel et al. 2017, equation 6) on another network: its values rank this project's priors, but
cannot be compared with published FIDs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emo_avatar.stylegan2 import Generator
from emo_bench.perceptual import DISTANCES, PerceptualDistance, missing_assets
from factory.prior.bank import ImageBank

BACKEND = "stlpips-alex"
STAGES = slice(2, 5)
COUNT = 1500
BATCH = 50


@dataclass(frozen=True)
class Moments:
    """Mean ``[D]`` and covariance ``[D, D]`` of features, float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments(features: NDArray[np.floating]) -> Moments:
    """Compute mean and unbiased covariance of ``features`` [N, D]. Raises ValueError for fewer than two."""
    values = np.asarray(features, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"{len(values)} samples have no covariance")
    return Moments(values.mean(axis=0), np.cov(values, rowvar=False))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Compute ``|mu_a - mu_b|^2 + tr(A + B - 2 (A B)^(1/2))`` of two Gaussians (Dowson and Landau 1982).

    The trace of the root is computed from the eigenvalues of the symmetric ``A^(1/2) B A^(1/2)``, which are real and,
    except for rounding, not negative.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b.covariance @ root), 0.0, None)).sum()
    apart = np.square(a.mean - b.mean).sum()
    return float(apart + np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * shared)


class FrechetJudge:
    """Compares generators with the held-out images of a bank.

    Features are the spatial means of the last three stages of ``BACKEND`` (896 values per image). At most ``count``
    held-out images are used, and the same number of samples, always from the same latents.
    """

    def __init__(self, bank: ImageBank, device: str, count: int = COUNT) -> None:
        self.device = device
        self.count = min(count, len(bank.held_out))
        self.network = PerceptualDistance.from_assets(BACKEND, device)
        rows = bank.held_out[np.linspace(0, len(bank.held_out) - 1, self.count).astype(np.int64)]
        self.reference = moments(self._features(bank.images(part, device) for part in _parts(rows)))

    @classmethod
    def open(cls, bank: ImageBank, device: str) -> "FrechetJudge | None":
        """Create a judge, or return None if the bank has too few held-out images or the weights are missing."""
        return None if cls.obstacle(bank) else cls(bank, device)

    @staticmethod
    def obstacle(bank: ImageBank) -> str | None:
        """Return in words why there can be no judge, or None."""
        if len(bank.held_out) < 2:
            return "the bank has no held-out images (column held_out of its .parquet)"
        missing = missing_assets(BACKEND)
        return f"{', '.join(missing)} not found (emo-bench assets list)" if missing else None

    @torch.no_grad()
    def distance(self, generator: Generator) -> float:
        """Return the distance between ``count`` samples of ``generator`` and the held-out images; lower is better."""
        rng = torch.Generator().manual_seed(1)
        z = torch.randn(self.count, generator.config.z_dim, generator=rng)
        images = (generator(part.to(self.device)).clamp(-1, 1) for part in z.split(BATCH))
        return frechet_distance(self.reference, moments(self._features(images)))

    def distance_of_training(self, bank: ImageBank) -> float:
        """Return the distance of as many training images: the value of a perfect generator."""
        rows = bank.training[np.linspace(0, len(bank) - 1, min(self.count, len(bank))).astype(np.int64)]
        features = self._features(bank.images(part, self.device) for part in _parts(rows))
        return frechet_distance(self.reference, moments(features))

    @torch.no_grad()
    def _features(self, batches: Iterator[Tensor]) -> NDArray[np.float32]:
        found = []
        for images in batches:
            stages = self.network.features(images)[STAGES]
            found.append(torch.cat([stage.mean(dim=(2, 3)) for stage in stages], dim=1).cpu().numpy())
        return np.concatenate(found)


def _parts(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH]


def describe() -> str:
    """Describe the measure, for the model card."""
    return (
        f"Frechet distance on {BACKEND} ({DISTANCES[BACKEND].trunk} trunk, spatial means of stages 3 to 5, "
        "896 features), samples at psi 1 against held-out identities; not FID"
    )
