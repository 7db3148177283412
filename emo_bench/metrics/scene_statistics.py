"""Natural scene statistics: locally normalised luminance and generalised Gaussians fitted to it.

BRISQUE (Mittal, Moorthy and Bovik 2012) and NIQE (Mittal, Soundararajan and Bovik 2013) share these. They are computed
as in the authors' MATLAB code, except that flat neighbourhoods are exactly zero (see :func:`normalised`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

from emo_bench.metrics.batch import FramesU8
from emo_bench.system import opencv as cv2

Image = NDArray[np.float64]

BT601 = np.array([0.298936021293775, 0.587043074451121, 0.114020904255104])
# The sign in a flat neighbourhood is rounding noise of about 1e-13; true differences of 8-bit pixels are above 1e-9.
FLAT = 1e-10
SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))

SHAPES = np.arange(200, 10001) / 1000.0
# Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)), the squared mean magnitude over the mean square; increases with the shape a.
RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))


@dataclass(frozen=True)
class Fit:
    """Asymmetric generalised Gaussians of N samples, each float64 ``[N]``; NaN if one side has no values.

    Attributes:
        shape: the shape parameter in [0.2, 10]; 2 is Gaussian, a smaller value has heavier tails.
        left: root mean square of the negative values.
        right: root mean square of the positive values.
    """

    shape: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]

    @property
    def width(self) -> NDArray[np.float64]:
        """The factor from the root mean square to the distribution's scale: sqrt(Gamma(1/a) / Gamma(3/a))."""
        widths: NDArray[np.float64] = np.sqrt(gamma(1 / self.shape) / gamma(3 / self.shape))
        return widths

    @property
    def mean(self) -> NDArray[np.float64]:
        """The distribution's mean: (right - left) Gamma(2/a) / Gamma(1/a) times :attr:`width`."""
        ratio = gamma(2 / self.shape) / gamma(1 / self.shape)
        means: NDArray[np.float64] = (self.right - self.left) * ratio * self.width
        return means


def luminance(frames: FramesU8) -> list[Image]:
    """Convert uint8 ``[B, H, W, 3]`` as MATLAB's ``rgb2gray``: BT.601 luma rounded to whole levels, ``[H, W]`` each."""
    return [np.floor(frame @ BT601 + 0.5) for frame in frames]


def normalised(image: Image, border: int) -> Image:
    """Normalise mean and contrast of an image: ``(I - mu) / (sigma + 1)`` under a 7x7 Gaussian of sigma 7/6.

    If the whole window is flat the result is exactly 0. In the authors' code the sign depends there on rounding. The
    counts of negative and positive values then change the score of images with flat areas.

    Args:
        image: float64 ``[H, W]`` in 8-bit levels.
        border: an OpenCV border type for the pixels outside the image.
    """
    window = cv2.getGaussianKernel(7, 7 / 6)
    mean = cv2.sepFilter2D(image, -1, window, window, borderType=border)
    square = cv2.sepFilter2D(image * image, -1, window, window, borderType=border)
    difference = image - mean
    difference[np.abs(difference) < FLAT] = 0.0
    result: Image = difference / (np.sqrt(np.abs(square - mean * mean)) + 1.0)
    return result


def halved(image: Image) -> Image:
    """Halve an image as MATLAB's ``imresize(image, 0.5)``: bicubic (a = -0.5), 8 taps for antialiasing, mirrored edges.

    float64 ``[H, W]`` -> ``[ceil(H / 2), ceil(W / 2)]``; not clipped to the 8-bit range.
    """
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, far)
    # The window of output 0 covers inputs -3 to 4: its fourth tap is the anchor.
    filtered = cv2.sepFilter2D(
        image, -1, taps / taps.sum(), taps / taps.sum(), anchor=(3, 3), borderType=cv2.BORDER_REFLECT
    )
    return np.ascontiguousarray(filtered[::2, ::2], np.float64)


def fit_asymmetric(values: NDArray[np.float64]) -> Fit:
    """Fit ``[N, ...]``, N samples, by moments (Lasmar, Stitou and Berthoumieu 2009), with shapes on a grid of 0.001."""
    flat = values.reshape(len(values), -1)
    negative = np.minimum(flat, 0.0)
    squares = np.einsum("np,np->n", flat, flat)
    left_squares = np.einsum("np,np->n", negative, negative)
    magnitudes = flat.sum(axis=1) - 2.0 * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(left_squares / np.count_nonzero(flat < 0, axis=1))
        right = np.sqrt((squares - left_squares) / np.count_nonzero(flat > 0, axis=1))
        skew = left / right
        ratio = magnitudes**2 / (squares * flat.shape[1])
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    return Fit(_nearest_shape(RATIOS, ratio), left, right)


def fit_symmetric(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit generalised Gaussians (Sharifi and Leon-Garcia 1995): ``[N, ...]`` -> shape and variance, ``[N]`` each."""
    flat = values.reshape(len(values), -1)
    variance = np.einsum("np,np->n", flat, flat) / flat.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis = variance / np.abs(flat).mean(axis=1) ** 2
    return _nearest_shape(-1.0 / RATIOS, -kurtosis), variance


def neighbour_products(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Multiply ``[N, h, w]`` by itself shifted by one pixel across, down and along both diagonals, with wrap-around."""
    return [values * np.roll(values, shift, axis=(1, 2)) for shift in SHIFTS]


def _nearest_shape(ratios: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the grid's shape with the nearest ratio; `ratios` increase along the grid."""
    middles = (ratios[1:] + ratios[:-1]) / 2
    return np.where(np.isnan(wanted), np.nan, SHAPES[np.searchsorted(middles, wanted)])
