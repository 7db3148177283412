"""Named conventions: score the same frames as other projects do, including the peculiarities of their code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.batch import FramesU8, Masks

Background = Literal["as filmed", "white", "black"]
LEVELS = {"white": 255, "black": 0}


@dataclass(frozen=True)
class Convention:
    """How frames are prepared, and which metrics are computed.

    Attributes:
        name: the name for ``emo-bench score --convention``.
        source: the code or paper that it follows.
        quirks: facts that a reader must know, one sentence each.
        metrics: the metric ids.
        background: the background that replaces that of frames and reference, by the reference's masks, before scoring.
        size_px: the size to which both are resized, or None to keep their size.
        resize_filter: "area" or "bilinear" (OpenCV's).
        region: the part of the frame that is scored.
    """

    name: str
    source: str
    quirks: tuple[str, ...]
    metrics: tuple[str, ...]
    background: Background = "as filmed"
    size_px: int | None = None
    resize_filter: Literal["area", "bilinear"] = "area"
    region: str = "full frame"

    @property
    def needs_masks(self) -> bool:
        """Whether the convention uses the reference's masks."""
        return self.background != "as filmed" or self.region != "full frame"


CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        "emo-bench",
        "this project",
        ("Everything at the protocol's size on the frames as filmed.",),
        ("psnr", "psnr_global", "ssim", "ms_ssim", "sd", "lpips", "lpips-vgg", "flmd", "flmd_iod"),
    ),
    Convention(
        "emo-avatar-paper",
        "Liu, Song et al. 2024, arXiv 2402.00827v1, Tables 1 and 2",
        (
            "The paper names neither detector nor LPIPS backbone nor resolution; 256 px for landmarks is our reading.",
            "Its BIQ is BRISQUE divided by 100; CLIP-D needs captions.",
        ),
        ("flmd", "psnr", "sd", "lpips", "biq", "clip_d", "clip_dv"),
    ),
    Convention(
        "pointavatar",
        "zhengyuf/PointAvatar code/utils/metrics.py, copied by MonoGaussianAvatar and SplattingAvatar",
        (
            "Reference over white; both resized to 512 px by OpenCV's bilinear filter.",
            "PSNR is 20 log10(1 / (RMSE + 1e-8)), which caps identical frames at 160 dB.",
            "Masked variants there still divide by all pixels; the default, scored here, uses no mask.",
        ),
        ("psnr-eps", "ssim", "lpips"),
        background="white",
        size_px=512,
        resize_filter="bilinear",
    ),
    Convention(
        "gaussianavatars-train",
        "ShenhanQian/GaussianAvatars train.py lines 255 to 304 (the paper's numbers, its issue 35)",
        ("LPIPS with AlexNet is fed [0, 1] instead of [-1, 1] (its issue 100).", "Background white."),
        ("psnr", "ssim", "lpips-01"),
        background="white",
    ),
    Convention(
        "gaussianavatars-metrics",
        "ShenhanQian/GaussianAvatars metrics.py",
        ("LPIPS with VGG16 is fed [0, 1] instead of [-1, 1].", "Background white, PNG read back."),
        ("psnr", "ssim", "lpips-vgg-01"),
        background="white",
    ),
    Convention(
        "insta-pytorch",
        "Zielon/INSTA-pytorch",
        (
            "PSNR is taken per batch and then averaged; with its evaluation's batch of one frame that is the mean "
            "of per-frame values, which is what is scored here.",
        ),
        ("psnr", "lpips"),
    ),
    Convention(
        "nha",
        "philgras/neural-head-avatars nha/evaluation",
        (
            "68 landmarks in pixels of the frames' own size, mean, not centred; undetected frames are dropped.",
            "The background of the reference is filled (white here).",
        ),
        ("psnr", "ssim", "lpips", "flmd-native"),
        background="white",
    ),
    Convention(
        "rad-nerf-lmd",
        "ashawkey/RAD-NeRF LMDMeter and its copies",
        (
            "Each landmark set is centred on its own mean; mean distance in pixels of the frames' own size, so that "
            "the number grows with the resolution. The mouth is points 48 to 67.",
        ),
        ("lmd-native", "lmd-native-mouth"),
    ),
)


def find_convention(name: str) -> Convention:
    """Return the convention of that name; a UserError lists the known names."""
    for convention in CONVENTIONS:
        if convention.name == name:
            return convention
    raise UserError(f"unknown convention {name!r}; known: {', '.join(c.name for c in CONVENTIONS)}")


def lay_on(frames: FramesU8, masks: Masks, background: Background) -> FramesU8:
    """Replace the pixels outside the masks ``[B, H, W]`` by a flat background; "as filmed" changes nothing."""
    if background == "as filmed":
        return frames
    level = np.uint8(LEVELS[background])
    laid: FramesU8 = np.where(masks[..., None], frames, level)
    return laid


def resized(frames: FramesU8, size_px: int, resize_filter: str) -> FramesU8:
    """Resize square frames ``[B, H, W, 3]`` to ``[B, size_px, size_px, 3]``.

    Raises:
        UserError: the frames are not square.
    """
    from emo_bench.system import opencv as cv2

    if frames.shape[1] != frames.shape[2]:
        raise UserError(
            f"this convention resizes to {size_px}x{size_px} px, but the frames are {frames.shape[2]}x{frames.shape[1]}"
        )
    if frames.shape[1] == size_px:
        return frames
    how = cv2.INTER_AREA if resize_filter == "area" and frames.shape[1] > size_px else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (size_px, size_px), interpolation=how) for frame in frames])
