"""Metrics of CLIP embeddings: whether an edit follows its captions, and whether it is stable from frame to frame."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.clip.captions import require_readable
from emo_bench.clip.model import ClipModel, ClipSource, Embeddings, find_clip, load_clip, missing_clip
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch, Captions, FramesU8, Settings, Side
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores

# A difference of unit embeddings below this value is fp32 noise (measured: below 1e-6), not a direction.
NO_DIRECTION = 1e-5
PAIRS = "mean over neighbouring pairs"
# The options that give the captions.
OPTIONS = {"source": "--source-prompt", "target": "--prompt"}


def _info(name: str, title: str, **others: Any) -> MetricInfo:
    return MetricInfo(name, "1", title, "higher", "1", value_range="[0, 1]", **others)


class ClipMetric(Metric):
    """A metric that scores batches with the CLIP model shared by all metrics of a scoring."""

    @classmethod
    def missing(cls) -> str | None:
        return cls.missing_model("auto")

    @classmethod
    def missing_model(cls, clip: str) -> str | None:
        """Return why there is no model if the user chose ``clip``; None if there is one."""
        return missing_clip(clip)

    @classmethod
    def find_model(cls, clip: str) -> ClipSource:
        """Return the model if the user chose ``clip``."""
        return find_clip(clip)

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        lacking = cls.missing_model(settings.clip)
        wanting = [OPTIONS[name] for name in cls.info.captions if not getattr(settings.captions, name, "")]
        if lacking is None and wanting:
            return f"needs the captions of the edit: give {' and '.join(wanting)}"
        return lacking

    @classmethod
    def open(cls, settings: Settings) -> Self:
        source = cls.find_model(settings.clip)
        for name in cls.info.captions if settings.captions else ():
            require_readable(source, getattr(settings.captions, name))
        return cls(settings.device, load_clip(source, settings.device), settings.captions)

    def __init__(self, device: str = "cpu", model: ClipModel | None = None, captions: Captions | None = None) -> None:
        super().__init__(device)
        self._model = model or load_clip(self.find_model("auto"), device)
        self._given_captions = captions
        source = self._model.source
        self.backend = Backend(f"clip-{source.name.lower()}", source.sha256, self._model.detail)

    @property
    def _captions(self) -> Captions:
        if self._given_captions is None:
            raise UserError(f"{self.info.id} needs captions: Settings(captions=Captions(source, target))")
        return self._given_captions

    def _embeddings(self, batch: Batch, side: Side) -> Embeddings:
        """Return unit embeddings ``[B, D]`` of frames or reference, computed once for all CLIP metrics."""
        return batch.once(("clip", self._model.key, side), lambda: self._model.of_frames(batch.side(side)))

    def _edits(self, batch: Batch) -> Embeddings:
        """Return the frames' embeddings minus the reference's, ``[B, D]``: exactly 0 if a frame is unedited."""

        def compute() -> Embeddings:
            change = self._embeddings(batch, "frames") - self._embeddings(batch, "reference")
            change[_alike(batch.frames, batch.side("reference"))] = 0.0
            return change

        return batch.once(("clip edits", self._model.key), compute)

    def _steps(self, batch: Batch, side: Side) -> Embeddings:
        """Return each frame's embedding minus the previous frame's, ``[B, D]``: NaN at the start, 0 without motion."""
        change = self._embeddings(batch, side) - self._preceding(batch, self._embeddings(batch, side), side)
        pixels = batch.side(side)
        change[1:][_alike(pixels[1:], pixels[:-1])] = 0.0
        if batch.before is not None and np.array_equal(pixels[0], batch.before.side(side)[-1]):
            change[0] = 0.0
        return change

    def _preceding(self, batch: Batch, embeddings: Embeddings, side: Side) -> Embeddings:
        """Return the embeddings ``[B, D]`` of the previous frames; NaN before the first frame of the video."""
        first = np.full_like(embeddings[:1], np.nan)
        if batch.before is not None:
            first = self._embeddings(batch.before, side)[-1:]
        return np.concatenate([first, embeddings[:-1]])


class ClipDirection(ClipMetric):
    """CLIP-D: cos(C(frame) - C(reference), T(target) - T(source)), each embedding is normalised to length 1 first.

    From Gal et al. 2022, computed as in instruct-pix2pix's ``metrics/clip_similarity.py``. NaN if the frame is
    unedited, and for all frames if the model embeds both captions identically.
    """

    info = _info(
        "clip_d",
        "CLIP directional similarity",
        needs="a reference, captions",
        undefined="the frame is not edited",
        captions=("source", "target"),
    )

    def score_batch(self, batch: Batch) -> Scores:
        texts = self._captions
        wanted = self._model.of_caption(texts.target) - self._model.of_caption(texts.source)
        edits = self._edits(batch)
        return cosines(edits, np.broadcast_to(wanted, edits.shape))


class ClipDirectionOverTime(ClipMetric):
    """CLIP-D^v, stability of the edit: cos(C(e_i-1) - C(o_i-1), C(e_i) - C(o_i)) at frame i.

    This interpretation agrees with Emo-Avatar's tables (unedited video has 0.004 there). NaN at the first frame and if
    either frame is unedited.
    """

    info = _info(
        "clip_dv",
        "CLIP direction over time, of the edit",
        averaging=PAIRS,
        undefined="it is the first frame, or a frame that is not edited",
    )

    def score_batch(self, batch: Batch) -> Scores:
        edits = self._edits(batch)
        earlier = np.full_like(edits[:1], np.nan)
        if batch.before is not None:
            earlier = self._edits(batch.before)[-1:]
        return cosines(np.concatenate([earlier, edits[:-1]]), edits)


class ClipDirectionOverTimeIN2N(ClipMetric):
    """CLIP-D^v, whether the edited video moves as the original: cos(C(o_i) - C(o_i-1), C(e_i) - C(e_i-1)) at frame i.

    This is the interpretation of Instruct-NeRF2NeRF (its issue 28). Unedited video scores 1. NaN at the first frame and
    if either video has no motion.
    """

    info = _info(
        "clip_dv_in2n",
        "CLIP direction over time, of the motion",
        averaging=PAIRS,
        undefined="it is the first frame, or nothing moves",
    )

    def score_batch(self, batch: Batch) -> Scores:
        return cosines(self._steps(batch, "reference"), self._steps(batch, "frames"))


class ClipImage(ClipMetric):
    """CLIP-I: cos(C(frame), C(reference)), how much of the source an edited frame keeps; 1 if unedited.

    The `sim_image` of instruct-pix2pix's ``metrics/clip_similarity.py``, there with ViT-L/14.
    """

    info = _info("clip_i", "CLIP similarity to the source frame")

    def score_batch(self, batch: Batch) -> Scores:
        return cosines(self._embeddings(batch, "frames"), self._embeddings(batch, "reference"))


class ClipConsistency(ClipMetric):
    """Cosine of the embeddings of each frame and the previous frame; NaN at the first frame."""

    info = _info(
        "clip_consistency",
        "CLIP consistency of neighbouring frames",
        needs_reference=False,
        averaging=PAIRS,
        undefined="it is the first frame",
    )

    def score_batch(self, batch: Batch) -> Scores:
        embeddings = self._embeddings(batch, "frames")
        return cosines(self._preceding(batch, embeddings, "frames"), embeddings)


class ClipText(ClipMetric):
    """Cosine of a frame's embedding and the target caption's; not multiplied by 100 or 2.5, not clipped at 0."""

    info = _info(
        "clip_text",
        "CLIP similarity to the target caption",
        needs_reference=False,
        needs="captions",
        captions=("target",),
    )

    def score_batch(self, batch: Batch) -> Scores:
        embeddings = self._embeddings(batch, "frames")
        return cosines(embeddings, np.broadcast_to(self._model.of_caption(self._captions.target), embeddings.shape))


def cosines(a: Embeddings, b: Embeddings) -> Scores:
    """Compute the cosine of each pair of rows, float64 ``[B]``; NaN if a row is NaN or (almost) zero."""
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    dots = np.einsum("nd,nd->n", a, b)
    defined = np.minimum(*lengths) > NO_DIRECTION
    return np.divide(dots, lengths[0] * lengths[1], out=np.full(len(a), np.nan), where=defined)


def _alike(a: FramesU8, b: FramesU8) -> NDArray[np.bool_]:
    """Return which of the N frame pairs are equal in every pixel."""
    return np.array([np.array_equal(x, y) for x, y in zip(a, b, strict=True)], dtype=bool)
