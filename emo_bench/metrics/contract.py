"""The checks of what every metric promises, on a few frames; the result of each check is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch, Captions, FramesU8, Settings, Subject
from emo_bench.metrics.metric import Metric, Scores
from emo_bench.metrics.registry import metric_class
from emo_bench.metrics.watched import aggregated, finished, missing_for, open_metric, raw_scores, score_batch
from emo_bench.plug_ins.check import Check

# Scores of a frame may differ by this between batches, because networks round differently for each batch size.
RELATIVE, ABSOLUTE = 2e-4, 2e-5
CAPTIONS = Captions("a photo of a person", "a bronze statue of a person")
SEED = 0
FPS = 25.0


def check_metric(name: str, reference: FramesU8) -> Iterator[Check]:
    """Try a metric on frames and on damaged copies of them, on the CPU.

    Args:
        name: the metric's id, or ``path/to/file.py:Class``.
        reference: uint8 ``[B, H, W, 3]``, at least five neighbouring frames of a face.

    Raises:
        UserError: there is no such metric, its class lacks something, or it cannot run here.
    """
    cls = metric_class(name)
    settings = Settings(captions=CAPTIONS, fps=FPS, subject=Subject(lambda: reference))
    missing = missing_for(cls, settings, show_traceback=False)
    if missing is not None:
        raise UserError(f"metric {cls.info.id} cannot be tried here: {missing}")
    least = cls.info.least_px
    if min(reference.shape[1:3]) < least:
        height, width = reference.shape[1:3]
        raise UserError(f"metric {cls.info.id} needs frames of {least} px or more, these have {width}x{height}")
    frames = damaged(reference)
    trial = _Trial(cls, settings, frames, reference)
    said = _tried("info and backend are complete", trial.described)
    yield said
    if not said.ok:
        return
    scored = _tried("scores: float64, one per frame", trial.scored)
    yield scored
    if not scored.ok:
        return
    yield _tried("every undefined score has a reason", trial.undefined)
    yield _tried("same frames, same scores", trial.same_again)
    yield _tried("same scores in other batches", trial.same_in_parts)
    yield _tried("frames and reference are not changed", trial.inputs_unchanged)
    yield _tried("needs_reference is true", trial.reference_check)
    yield _tried("takes_region is true", trial.region)
    yield _tried("one number of a video", trial.aggregate)


def damaged(frames: FramesU8) -> FramesU8:
    """Return copies of frames with different noise: uint8 of the same shape."""
    noise = np.random.default_rng(SEED).normal(0.0, 12.0, frames.shape)
    return np.clip(frames + noise, 0, 255).round().astype(np.uint8)


@dataclass
class _Trial:
    """The checks of one metric; ``scores`` are those of all frames in one batch."""

    cls: type[Metric]
    settings: Settings
    frames: FramesU8
    reference: FramesU8
    scores: Scores | None = None

    def open(self) -> Metric:
        return open_metric(self.cls, self.settings, show_traceback=False)

    def raw(self, sizes: Sequence[int], reference: FramesU8 | None, region: bool = False) -> np.ndarray:
        """Return the unchecked scores ``[B]`` of a new metric object in batches of these sizes."""
        metric, before, start = self.open(), None, 0
        found = []
        for size in sizes:
            rows = slice(start, start + size)
            start += size
            frames = self.frames[rows].copy()
            batch = Batch(
                frames,
                None if reference is None else reference[rows].copy(),
                range(start - size, start),
                np.ones(frames.shape[:3], bool) if region else None,
                before,
            )
            found.append(raw_scores(metric, batch, show_traceback=False))
            batch.before, before = None, batch
        scores = np.concatenate(found)
        # A metric that overrides nothing gives its scores back, in the type of number that is checked.
        return scores if type(metric).finish is Metric.finish else finished(metric, scores, show_traceback=False)

    @property
    def own_reference(self) -> FramesU8 | None:
        return self.reference if self.cls.info.needs_reference else None

    @property
    def whole(self) -> Scores:
        assert self.scores is not None
        return self.scores

    def described(self) -> str:
        info, backend = self.cls.info, self.open().backend
        by = " ".join(filter(None, (backend.name, backend.detail)))
        return f"{info.id}, version {info.version}, {info.direction} is better, {info.unit}, by {by}"

    def scored(self) -> str:
        scores = self.raw([len(self.frames)], self.own_reference)
        if scores.dtype != np.float64:
            raise _Broken(f"they are {scores.dtype}: return float64")
        self.scores = scores
        return ", ".join(f"{score:.4g}" for score in scores)

    def undefined(self) -> str:
        count = int(np.isnan(self.whole).sum())
        if count and not self.cls.info.undefined:
            raise _Broken(f"{count} of {len(self.whole)} are NaN, and info.undefined does not say when")
        return f"{count} of {len(self.whole)} are NaN: {self.cls.info.undefined}" if count else ""

    def same_again(self) -> str:
        again = self.raw([len(self.frames)], self.own_reference)
        if not np.array_equal(again, self.whole, equal_nan=True):
            raise _Broken(f"the second scoring differs: {_first_gap(self.whole, again)}")
        return ""

    def same_in_parts(self) -> str:
        count = len(self.frames)
        for sizes in ([1] * count, [2, count - 2]):
            parts = self.raw(sizes, self.own_reference)
            if not np.allclose(parts, self.whole, RELATIVE, ABSOLUTE, equal_nan=True):
                raise _Broken(f"in batches of {sizes[0]} the scores differ: {_first_gap(self.whole, parts)}")
        return ""

    def inputs_unchanged(self) -> str:
        frames, reference = self.frames.copy(), None if self.own_reference is None else self.reference.copy()
        raw_scores(self.open(), Batch(frames, reference), show_traceback=False)
        if not np.array_equal(frames, self.frames):
            raise _Broken("it writes into the frames, which other metrics score after it: copy them first")
        if reference is not None and not np.array_equal(reference, self.reference):
            raise _Broken("it writes into the reference, which other metrics score after it: copy it first")
        # A scoring hands over arrays that cannot be written.
        score_batch(self.open(), Batch(frames, reference), show_traceback=False)
        return ""

    def reference_check(self) -> str:
        """Check the use of the reference: another one changes the scores; without need, frames alone have scores."""
        needed = self.cls.info.needs_reference
        if needed and np.isnan(self.whole).all():
            raise _NotTried("no frame has a score")
        # The other reference is a noisy negative: it differs from the first in colours and sharpness.
        other = damaged(damaged(damaged(255 - self.reference))) if needed else self.reference
        with_other = self.raw([len(self.frames)], other)
        same = np.allclose(with_other, self.whole, RELATIVE, ABSOLUTE, equal_nan=True)
        if needed and same:
            raise _Broken("another reference changes no score: say needs_reference=False")
        if needed:
            return "it needs one"
        if not same and not self.cls.info.optional_reference:
            raise _Broken("with a reference it gives other scores than without: say optional_reference=True")
        return "it needs none" if same else "it needs none, and uses one if there is one"

    def region(self) -> str:
        if not self.cls.info.takes_region:
            raise _NotTried("it scores the whole frame")
        inside = self.raw([len(self.frames)], self.own_reference, region=True)
        if not np.allclose(inside, self.whole, RELATIVE, ABSOLUTE, equal_nan=True):
            gap = _first_gap(self.whole, inside)
            raise _Broken(f"in a region that is the whole frame the scores are others: {gap}")
        return ""

    def aggregate(self) -> str:
        number = aggregated(self.cls, self.whole, show_traceback=False)
        with_gap = np.append(self.whole, np.nan)
        again = aggregated(self.cls, with_gap, show_traceback=False)
        if not np.isclose(number, again, RELATIVE, ABSOLUTE, equal_nan=True):
            raise _Broken(f"a frame without a score changes it from {number:.6g} to {again:.6g}: leave NaN out")
        aggregated(self.cls, np.full(2, np.nan), show_traceback=False)
        return f"{number:.4g}"


class _Broken(Exception):
    """Describe a promise that is not kept."""


class _NotTried(Exception):
    """Describe why a promise could not be checked."""


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except _NotTried as why:
        return Check(name, None, f"not tried: {why}")
    except (_Broken, UserError) as error:
        return Check(name, False, str(error))


def _first_gap(scores: Scores, others: Scores) -> str:
    """Return the first frame with another score, with both scores."""
    gap = ~np.isclose(scores, others, RELATIVE, 0.0, equal_nan=True)
    gap = gap if gap.any() else (scores != others) & ~(np.isnan(scores) & np.isnan(others))
    i = int(np.flatnonzero(gap)[0])
    return f"{scores[i]:.6g} and {others[i]:.6g} for frame {i}"
