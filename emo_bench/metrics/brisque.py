"""BRISQUE: distance of a picture's luminance statistics from those of undistorted photographs, without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__, assets
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.scene_statistics import (
    Image,
    fit_asymmetric,
    fit_symmetric,
    halved,
    luminance,
    neighbour_products,
    normalised,
)
from emo_bench.system import opencv as cv2

ASSET = "brisque-live"
SCALES = 2
FEATURES = 36

# Minimum and maximum of each feature over the LIVE database: the file `allrange` of the authors' release.
RANGES = np.array(
    [
        (0.338, 10), (0.017204, 0.806612),
        (0.236, 1.642), (-0.123884, 0.20293), (0.000155, 0.712298), (0.001122, 0.470257),
        (0.244, 1.641), (-0.123586, 0.179083), (0.000152, 0.710456), (0.000975, 0.470984),
        (0.249, 1.555), (-0.135687, 0.100858), (0.000174, 0.684173), (0.000913, 0.534174),
        (0.258, 1.561), (-0.143408, 0.100486), (0.000179, 0.685696), (0.000888, 0.536508),
        (0.471, 3.264), (0.012809, 0.703171),
        (0.218, 1.046), (-0.094876, 0.187459), (0.000015, 0.442057), (0.001272, 0.40803),
        (0.222, 1.042), (-0.115772, 0.162604), (0.000016, 0.444362), (0.001374, 0.40243),
        (0.227, 0.996), (-0.117188, 0.0983229), (0.00003, 0.531903), (0.001122, 0.369589),
        (0.228, 0.99), (-0.12243, 0.098658), (0.000028, 0.530092), (0.001118, 0.370399),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class SupportVectors:
    """A support vector regression with a radial kernel: ``sum_i c_i exp(-gamma |x - v_i|^2) - rho``.

    Attributes:
        gamma: the kernel's width parameter.
        rho: the offset.
        coefficients: the weights c_i, float64 ``[S]``.
        vectors: the support vectors v_i, float64 ``[S, 36]``.
    """

    gamma: float
    rho: float
    coefficients: NDArray[np.float64]
    vectors: NDArray[np.float64]

    def predict(self, features: NDArray[np.float64]) -> float:
        """Compute the score of scaled features ``[36]``; NaN if a feature is NaN."""
        distances = np.square(self.vectors - features).sum(axis=1)
        return float(self.coefficients @ np.exp(-self.gamma * distances) - self.rho)


# The reason why a score is undefined.
FLAT = "the frame is flat, or too small for statistics"


class BRISQUE(Metric):
    """BRISQUE of Mittal, Moorthy and Bovik 2012, with their regression trained on LIVE; about 0 (best) to 100 and more.

    Undefined (NaN) if a frame is so flat that a distribution has no negative or no positive values.
    """

    info = MetricInfo(
        "brisque", "1", "BRISQUE, the authors' LIVE model", "lower", "1", needs_reference=False, undefined=FLAT
    )

    @classmethod
    def missing(cls) -> str | None:
        return assets.lacking(ASSET) or cv2.missing()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        model = assets.require(ASSET)
        self._regression = read_libsvm(model.path)
        self.backend = Backend("emo-bench with the authors' SVM", model.sha256, __version__)

    def score_batch(self, batch: Batch) -> Scores:
        return batch.once("brisque", lambda: self._of_frames(batch))

    def _of_frames(self, batch: Batch) -> Scores:
        images = batch.once("luminance", lambda: luminance(batch.frames))
        return np.array([self._regression.predict(scaled(features(image))) for image in images])


class BIQ(BRISQUE):
    """BRISQUE / 100: the column "BIQ" of Emo-Avatar's tables."""

    info = MetricInfo("biq", "1", "BRISQUE / 100", "lower", "1", needs_reference=False, undefined=FLAT)

    def score_batch(self, batch: Batch) -> Scores:
        return super().score_batch(batch) / 100.0


def features(image: Image) -> NDArray[np.float64]:
    """Compute the 36 features of a luminance image ``[H, W]`` in 8-bit levels: 18 at full size, 18 at half size.

    The features are the shape and variance of the normalised luminance, and the shape, mean, left variance and right
    variance of the products of neighbours in four directions (the paper's Table I). The filter sees zeros outside the
    image.
    """
    found: list[NDArray[np.float64]] = []
    for scale in range(SCALES):
        image = halved(image) if scale else image
        values = normalised(image, cv2.BORDER_CONSTANT)[None]
        found += fit_symmetric(values)
        for products in neighbour_products(values):
            fit = fit_asymmetric(products)
            found += [fit.shape, fit.mean, fit.left**2, fit.right**2]
    return np.concatenate(found)


def scaled(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale features ``[36]`` to [-1, 1] over LIVE's range; like the authors' code, do not clip values beyond it."""
    low, high = RANGES.T
    return 2.0 * (features - low) / (high - low) - 1.0


def read_libsvm(path: Path) -> SupportVectors:
    """Read a model in libsvm's text format.

    Raises:
        UserError: the file is not a support vector regression with a radial kernel on 36 features.
    """
    header_text, _, rows = path.read_text(encoding="utf-8").partition("SV\n")
    header = dict(line.split(maxsplit=1) for line in header_text.splitlines())
    if (header.get("svm_type"), header.get("kernel_type")) != ("epsilon_svr", "rbf"):
        raise UserError(f"{path} is not a libsvm regression with a radial kernel")
    lines = [line.split() for line in rows.splitlines()]
    vectors = np.zeros((len(lines), FEATURES))
    for vector, line in zip(vectors, lines, strict=True):
        for entry in line[1:]:
            number, _, value = entry.partition(":")
            if int(number) > FEATURES:
                raise UserError(f"{path} has more than {FEATURES} features")
            vector[int(number) - 1] = float(value)
    coefficients = np.array([float(line[0]) for line in lines])
    return SupportVectors(float(header["gamma"]), float(header["rho"]), coefficients, vectors)
