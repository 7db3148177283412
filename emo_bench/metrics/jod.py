"""JOD of ColorVideoVDP: how visible the differences of two videos are on a named display, at a frame rate."""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from emo_bench.assets import sha256_of
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch, FramesU8, Settings
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.system.root_logger import root_logger_kept

DISPLAY = "standard_4k"
# From cvvdp 0.5.7, vvdp_data/cvvdp_parameters.json: JOD = 10 - A Q^EXPONENT, linear below Q = LINEAR_BELOW, and the
# exponent of the mean over frames. `missing` refuses a release with other values.
A, EXPONENT, OVER_FRAMES = 0.0439569391310215, 0.9302042722702026, 2.0
LINEAR_BELOW = 0.1
BEST = 10.0
INSTALL = 'pip install "emo-bench[jod]"'
LEAST_PX = 4
CHANNELS, COLOURS = 4, "DKLd65"  # sustained and transient brightness and two of colour, as in its predict_video_source
# Modules that the package imports by bare names, from its own folder, which it adds to the import path.
_BARE = ("interp", "third_party", "video_source", "video_source_yuv")


class JOD(Metric):
    """JOD by ColorVideoVDP (Mantiuk et al. 2024): 10 if no difference is visible; 1 less if 75 % see the reference win.

    The frames are shown as sRGB on cvvdp's display `DISPLAY`, pixel for pixel, at the video's frame rate. A frame's
    score comes from the quarter of a second that ends with it; before the first frame, the first one is repeated. The
    score of the video is cvvdp's own: its mean over the frames is taken before the conversion to JOD.
    """

    info = MetricInfo(
        "jod",
        "1",
        "Visible differences (ColorVideoVDP)",
        "higher",
        "JOD",
        value_range="[0, 255] as sRGB",
        averaging="cvvdp's over frames, before JOD",
        needs="a reference, the frame rate",
        least_px=LEAST_PX,
    )

    @classmethod
    def missing(cls) -> str | None:
        folder = _folder()
        if folder is None:
            return f"needs package cvvdp; run: {INSTALL}"
        found = json.loads((folder / "vvdp_data" / "cvvdp_parameters.json").read_text(encoding="utf-8"))
        if [found.get(key) for key in ("jod_a", "jod_exp", "beta_t")] != [A, EXPONENT, OVER_FRAMES]:
            return f"cvvdp {version('cvvdp')} computes JOD with other constants than 0.5.7; run: {INSTALL}"
        return None

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        lacking = cls.missing()
        if lacking is None and settings.fps is None:
            return "needs the frame rate of the video: give --fps"
        return lacking

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.fps)

    def __init__(self, device: str = "cpu", fps: float | None = None) -> None:
        super().__init__(device)
        import torch

        self._fps = fps
        with root_logger_kept():
            self._model = _package().cvvdp(display_name=DISPLAY, quiet=True, device=torch.device(device))
        self._window: Any = None
        self._count = 0
        light = self._model.display_photometry
        self.backend = Backend(
            f"cvvdp-{version('cvvdp')}",
            sha256_of(Path(self._model.parameters_file)),
            f"sRGB (BT.709), {light.get_peak_luminance():g} cd/m2, {self._model.pix_per_deg:.4g} px per degree",
        )

    def conditions(self) -> Mapping[str, str]:
        return {"display": DISPLAY, "frame rate": f"{self._fps:g} fps"} if self._fps else {"display": DISPLAY}

    def score_batch(self, batch: Batch) -> Scores:
        import torch

        if self._fps is None:
            raise UserError("jod needs the frame rate of the video: Settings(fps=...)")
        if min(batch.frames.shape[1:3]) < LEAST_PX:
            return np.full(len(batch), np.nan)
        if batch.before is None:
            self._start(batch.frames)
        with torch.inference_mode():
            return np.array(
                [self._next(x, y) for x, y in zip(batch.levels("frames"), batch.levels("reference"), strict=True)]
            )

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        defined = scores[~np.isnan(scores)]
        if not len(defined):
            return float("nan")
        return float(jod(np.mean(visible(defined) ** OVER_FRAMES, keepdims=True) ** (1.0 / OVER_FRAMES))[0])

    def _start(self, frames: FramesU8) -> None:
        """Begin a video of this size."""
        height, width = frames.shape[1:3]
        model = self._model
        pyramid = _module("lpyr_dec").weber_contrast_pyr
        assert self._fps is not None
        model.F, _ = model.get_temporal_filters(self._fps)
        model.filter_len = len(model.F[0])
        model.lpyr = pyramid(width, height, model.pix_per_deg, model.device, contrast=model.contrast)
        self._window = _module("cvvdp_metric").cvvdp_frame_buffers()
        self._count = 0

    def _next(self, frame: FramesU8, reference: FramesU8) -> float:
        """Return the JOD of the video's next frame, from the window of frames that ends with it."""
        model = self._model
        pair = _Pair(frame, reference, model.display_photometry)
        channels = model.read_block_of_frames(pair, CHANNELS, self._window, 1, COLOURS, self._count, 1)
        bands, _ = model.process_block_of_frames(channels, pair.get_video_size(), 2, model.lpyr, False)
        self._count += 1
        # Twice the same frame: cvvdp converts a single one as a still picture.
        return float(model.do_pooling_and_jods(bands.repeat(1, 1, 2, 1)))


class _Pair:
    """A frame and its reference as cvvdp's `video_source`: whichever frame it asks for, it gets these."""

    def __init__(self, frame: FramesU8, reference: FramesU8, display: Any) -> None:
        self._sides = frame, reference
        self._display = display

    def get_video_size(self) -> tuple[int, int, int]:
        """Height, width and number of frames; only that it is not one frame matters."""
        return (*self._sides[0].shape[:2], 2)  # type: ignore[return-value]

    def get_batch_size(self) -> int:
        return 1

    def get_test_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        return self._shown(self._sides[0], device, colorspace)

    def get_reference_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        return self._shown(self._sides[1], device, colorspace)

    def _shown(self, image: FramesU8, device: Any, colorspace: str) -> Any:
        """Return what the display shows, ``[1, 3, 1, H, W]`` in cvvdp's colours."""
        import torch

        planes = (
            torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None, :, None].float() / 255.0
        )
        return self._display.source_2_target_colorspace(planes, colorspace)


def jod(differences: Scores) -> Scores:
    """Convert cvvdp's visible differences, 0 and up, to JOD: float64 of the same shape."""
    near = A * LINEAR_BELOW ** (EXPONENT - 1.0) * differences
    return np.where(differences <= LINEAR_BELOW, BEST - near, BEST - A * differences**EXPONENT)


def visible(scores: Scores) -> Scores:
    """Convert JOD back to visible differences; the inverse of `jod`."""
    lost = np.maximum(BEST - scores, 0.0)
    near = lost / (A * LINEAR_BELOW ** (EXPONENT - 1.0))
    return np.where(near <= LINEAR_BELOW, near, (lost / A) ** (1.0 / EXPONENT))


def _folder() -> Path | None:
    """Return the package's folder without importing it."""
    spec = importlib.util.find_spec("pycvvdp")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


@functools.cache
def _package() -> Any:
    """Import pycvvdp; it leaves nothing on the import path and takes no module of others for its own."""
    folder = _folder()
    assert folder is not None
    # Torch warns about CUDA's compiler, which cvvdp does not need.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with _own_modules(folder):
        return importlib.import_module("pycvvdp")


def _module(name: str) -> Any:
    return sys.modules[f"pycvvdp.{name}"]


@contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Let imports of the package's bare names find its own files, and undo this afterwards."""
    path, hidden = list(sys.path), {name: sys.modules.pop(name) for name in _loaded()}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(hidden)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in _BARE]
