"""NIQE: distance of luminance statistics from a model of pristine photographs, not trained on human scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__, assets
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.scene_statistics import Image, fit_asymmetric, halved, luminance, neighbour_products, normalised
from emo_bench.system import opencv as cv2
from emo_bench.untrusted.npy import read_npz
from emo_bench.untrusted.refusal import Unreadable, reading

ASSET = "niqe-pristine"
BLOCK_PX = 96


class NIQE(Metric):
    """NIQE of Mittal, Soundararajan and Bovik 2013, with their model of pristine images; a clean photo has 3 to 4.

    Undefined (NaN) with fewer than two blocks of 96x96 px that have statistics, that is for small or nearly flat
    frames.
    """

    info = MetricInfo(
        "niqe",
        "1",
        "NIQE, the authors' pristine model",
        "lower",
        "1",
        needs_reference=False,
        least_px=BLOCK_PX,
        undefined="fewer than two blocks of 96x96 px are not flat",
    )

    @classmethod
    def missing(cls) -> str | None:
        return assets.lacking(ASSET) or cv2.missing()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        model = assets.require(ASSET)
        arrays = read_npz(model.path, ("mu_pris_param", "cov_pris_param"), "model of NIQE")
        with reading(model.path, "model of NIQE"):
            self._mean = arrays["mu_pris_param"].reshape(-1)
            self._covariance = arrays["cov_pris_param"]
            if self._covariance.shape != (len(self._mean),) * 2 or not np.isfinite(self._covariance).all():
                raise Unreadable("its covariance does not fit its mean")
        self.backend = Backend("emo-bench with the authors' pristine model", model.sha256, __version__)

    def score_batch(self, batch: Batch) -> Scores:
        images = batch.once("luminance", lambda: luminance(batch.frames))
        return np.array([self._distance(block_features(image)) for image in images])

    def _distance(self, features: NDArray[np.float64]) -> float:
        """Compute equation 10, ``sqrt((m1 - m2)' pinv((S1 + S2) / 2) (m1 - m2))`` for blocks' features ``[N, 36]``."""
        defined = features[~np.isnan(features).any(axis=1)]
        if len(defined) < 2:
            return np.nan
        apart = defined.mean(axis=0) - self._mean
        spread = (np.cov(defined, rowvar=False) + self._covariance) / 2
        return float(np.sqrt(apart @ np.linalg.pinv(spread) @ apart))


def block_features(image: Image) -> NDArray[np.float64]:
    """Compute the 36 features of each 96x96 px block of a luminance image ``[H, W]`` in 8-bit levels: ``[N, 36]``.

    The image is cropped to whole blocks from the top left; at half size a block has 48x48 px. Each of the two scales
    has 18 features: the shape and scale of the normalised luminance, and the shape, mean, left scale and right scale of
    the products of neighbours in four directions, which wrap around within the block.
    """
    rows, columns = image.shape[0] // BLOCK_PX, image.shape[1] // BLOCK_PX
    if not rows * columns:
        return np.empty((0, 36))
    image = np.ascontiguousarray(image[: rows * BLOCK_PX, : columns * BLOCK_PX])
    found: list[NDArray[np.float64]] = []
    for size in (BLOCK_PX, BLOCK_PX // 2):
        image = image if size == BLOCK_PX else halved(image)
        whole = normalised(image, cv2.BORDER_REPLICATE)
        blocks = whole.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
        fit = fit_asymmetric(blocks)
        found += [fit.shape, (fit.left + fit.right) / 2 * fit.width]
        for products in neighbour_products(blocks):
            fit = fit_asymmetric(products)
            found += [fit.shape, fit.mean, fit.left * fit.width, fit.right * fit.width]
    return np.stack(found, axis=1)
