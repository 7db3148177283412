"""Structural similarity: SSIM at one scale and at five."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.system import opencv as cv2

PEAK = 255.0
TAPS = 11
SIGMA = 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# Exponents of the scales, finest first (Wang, Simoncelli and Bovik 2003, section 3.2).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Subtracted before squaring: variances do not change, and float32 keeps two more bits of them.
MIDDLE = 128.0
REACH = TAPS // 2
# On the CPU the maps are computed in strips that fit in the cache: 2.5 times as fast at 512 px.
STRIP_PIXELS = 2**15

# One frame in 8-bit levels: on the CPU uint8 or float32 [H,W,3] numpy; on other devices or without OpenCV float32
# [3,H,W] torch.
_Planes = Any


class SSIM(Metric):
    """Structural similarity as Wang et al. 2004 define it, mean over channels and pixels.

    Gaussian window of 11 taps, sigma 1.5, K1 0.01, K2 0.03, population covariance, without the pixels whose window
    extends beyond the frame: scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`. Frames below 11 px give NaN. With a region, the map is averaged over
    the region's pixels that have a window; the windows may include pixels outside the region.
    """

    info = MetricInfo(
        "ssim",
        "1",
        "Structural similarity",
        "higher",
        "1",
        value_range="[0, 1]",
        takes_region=True,
        least_px=TAPS,
        undefined="no window lies inside the frame around a pixel of the region",
    )
    backend = Backend("emo-bench", detail=f"{__version__}, gaussian {TAPS} taps, sigma {SIGMA}")

    def score_batch(self, batch: Batch) -> Scores:
        if min(batch.frames.shape[1:3]) < self.info.least_px:
            return np.full(len(batch), np.nan)
        return _finest(batch, self.device, batch.region)[:, 0]


class MultiScaleSSIM(Metric):
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003, equation 7), five scales, with the window of `SSIM`.

    Contrast and structure of scales 1 to 4 and SSIM of scale 5 are averaged over channels and pixels, raised to the
    published exponents and multiplied. Frames are halved by the mean of 2x2 pixels; an odd last row or column is
    dropped. A negative average counts as 0. Frames below 176 px hold no window at scale 5: NaN. With a region, each
    scale is averaged over the region's pixels that have a window; a coarser pixel is in the region if half of it is.
    """

    info = MetricInfo(
        "ms_ssim",
        "1",
        "Multi-scale structural similarity",
        "higher",
        "1",
        value_range="[0, 1]",
        takes_region=True,
        least_px=TAPS << (len(SCALE_WEIGHTS) - 1),
        undefined="at some scale no window lies inside the frame around a pixel of the region",
    )
    backend = Backend("emo-bench", detail=f"{__version__}, gaussian {TAPS} taps, {len(SCALE_WEIGHTS)} scales")

    def score_batch(self, batch: Batch) -> Scores:
        if min(batch.frames.shape[1:3]) < self.info.least_px:
            return np.full(len(batch), np.nan)
        averages = np.empty((len(batch), len(SCALE_WEIGHTS)))
        averages[:, 0] = _finest(batch, self.device, batch.region)[:, 1]
        for i, (frame, reference) in enumerate(zip(batch.levels("frames"), batch.levels("reference"), strict=True)):
            x, y = to_planes(frame, self.device), to_planes(reference, self.device)
            mask = None if batch.region is None else batch.region[i]
            for scale in range(1, len(SCALE_WEIGHTS)):
                x, y = halved(x), halved(y)
                mask = None if mask is None else _half_mask(mask)
                similarity, contrast = averages_by_channel(x, y, mask).mean(axis=1)
                averages[i, scale] = contrast
            averages[i, -1] = similarity
        return product_of_scales(averages)


def _half_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of 2x2 pixels at a time: those of which at least two are in it."""
    height, width = mask.shape[0] // 2, mask.shape[1] // 2
    fours = mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(fours.sum(axis=(1, 3)) >= 2)


def product_of_scales(averages: Scores) -> Scores:
    """Compute equation 7 from the factors of the scales, finest first ``[..., 5]``; a negative factor counts as 0."""
    return np.asarray((np.maximum(averages, 0.0) ** np.array(SCALE_WEIGHTS)).prod(axis=-1))


def _finest(batch: Batch, device: str, region: NDArray[np.bool_] | None) -> Scores:
    """Compute the mean SSIM, and the mean of its contrast-structure term, at the frames' own size: float64 [B,2]."""

    def measured() -> Scores:
        masks = [None] * len(batch) if region is None else list(region)
        sides = zip(batch.levels("frames"), batch.levels("reference"), masks, strict=True)
        pairs = [averages_by_channel(to_planes(x, device), to_planes(y, device), mask) for x, y, mask in sides]
        return np.array(pairs).reshape(-1, 2, 3).mean(axis=2)

    return batch.once(("structural similarity", device, region is not None), measured)


def averages_by_channel(x: _Planes, y: _Planes, mask: NDArray[np.bool_] | None = None) -> Scores:
    """Compute two frames' mean SSIM and mean contrast-structure term in each channel: float64 ``[2, 3]``.

    Only pixels whose window lies inside the frame count. NaN if the mask ``[H, W]`` leaves no window.
    """
    rows = x.shape[0] if isinstance(x, np.ndarray) else x.shape[1]
    step = max(TAPS, STRIP_PIXELS // x.shape[1]) if isinstance(x, np.ndarray) else rows
    total, count = np.zeros((2, 3)), 0
    for top in range(0, rows - TAPS + 1, step):
        below = min(top + step + TAPS - 1, rows)
        part = (slice(top, below),) if isinstance(x, np.ndarray) else (slice(None), slice(top, below))
        inner = None if mask is None else mask[top + REACH : below - REACH, REACH:-REACH]
        similarity, contrast = _maps(x[part], y[part])
        for k, values in enumerate((similarity, contrast)):
            added, pixels = _sum(values, inner)
            total[k] += added
        count += pixels
    return total / count if count else np.full((2, 3), np.nan)


def _maps(x: _Planes, y: _Planes) -> tuple[_Planes, _Planes]:
    """Compute SSIM, and its contrast-structure term, at every pixel that has a window."""
    x, y = _centred(x), _centred(y)
    mean_x, mean_y = _window_means(x), _window_means(y)
    product = mean_x * mean_y
    squares = mean_x * mean_x
    squares += mean_y * mean_y
    contrast = _window_means(x * y)
    contrast -= product
    contrast *= 2.0
    contrast += C2
    energy = x * x
    energy += y * y
    variances = _window_means(energy)
    variances -= squares
    variances += C2
    contrast /= variances
    # Adds back the `MIDDLE` subtracted from the means: (a+m)(b+m) and (a+m)^2+(b+m)^2, with their common terms.
    shared = mean_x
    shared += mean_y
    shared *= 2.0 * MIDDLE
    shared += 2.0 * MIDDLE**2 + C1
    product *= 2.0
    product += shared
    squares += shared
    product /= squares
    product *= contrast
    return product, contrast


def to_planes(frame: NDArray[Any], device: str) -> _Planes:
    """Return a frame ``[H, W, 3]``, uint8 or float32, 0 to 255, as `averages_by_channel` takes it on this device."""
    if device == "cpu" and cv2.missing() is None:
        return frame
    import torch

    return torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1).float()


def _centred(planes: _Planes) -> _Planes:
    if isinstance(planes, np.ndarray):
        return np.subtract(planes, MIDDLE, dtype=np.float32)
    return planes - MIDDLE


def halved(planes: _Planes) -> _Planes:
    """Compute the mean of each 2x2 pixels."""
    if isinstance(planes, np.ndarray):
        height, width = planes.shape[0] // 2, planes.shape[1] // 2
        even = planes[: 2 * height, : 2 * width].astype(np.float32)
        return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    import torch

    return torch.nn.functional.avg_pool2d(planes[None], 2)[0]


def _window_means(planes: _Planes) -> _Planes:
    """Compute the Gaussian window's mean at every pixel whose window is inside: 10 px less in height and width."""
    if isinstance(planes, np.ndarray):
        blurred = cv2.GaussianBlur(planes, (TAPS, TAPS), SIGMA, borderType=cv2.BORDER_REPLICATE)
        return blurred[REACH:-REACH, REACH:-REACH]
    import torch

    bell = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
    taps = torch.from_numpy((bell / bell.sum()).astype(np.float32)).to(planes.device)
    down = torch.nn.functional.conv2d(planes[:, None], taps.view(1, 1, TAPS, 1))
    return torch.nn.functional.conv2d(down, taps.view(1, 1, 1, TAPS))[:, 0]


def _sum(values: _Planes, mask: NDArray[np.bool_] | None) -> tuple[Scores, int]:
    """Compute each channel's sum over the mask's pixels, and the number of pixels."""
    if isinstance(values, np.ndarray):
        inner = None if mask is None else np.ascontiguousarray(mask, np.uint8)
        count = values.shape[0] * values.shape[1] if inner is None else int(np.count_nonzero(inner))
        return np.array(cv2.mean(values, inner)[:3]) * count, count
    import torch

    doubles = values.double().flatten(1)
    if mask is not None:
        doubles = doubles[:, torch.from_numpy(np.ascontiguousarray(mask)).to(values.device).flatten()]
    return doubles.sum(dim=1).cpu().numpy(), doubles.shape[1]
