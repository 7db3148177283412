"""Scoring: every metric receives each batch of frames once; the result is a table with records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch, FramesU8, Masks, Settings, Unrounded
from emo_bench.metrics.inputs import Inputs
from emo_bench.metrics.kept import KeptResults
from emo_bench.metrics.metric import MEAN, NO_BACKEND, OWN_AVERAGING, Backend, Metric, MetricInfo, Record, Scores
from emo_bench.metrics.registry import metric_class, require_distinct
from emo_bench.metrics.threads import Task, Threads
from emo_bench.metrics.watched import aggregated, conditions_of, finished, missing_for, open_metric, score_batch
from emo_bench.plug_ins.calls import kept_apart

if TYPE_CHECKING:
    import pandas

DEFAULT_METRICS = ("psnr", "ssim", "sd", "lpips", "flmd")
AS_FILMED = "as filmed"
PART_PIXELS = 2**18  # per part of a divisible metric's batch: small enough to distribute, large enough to be fast


@dataclass
class _Column:
    """One metric of a scorer; `metric` is None if its backend is missing and no fallback replaces it."""

    cls: type[Metric]
    metric: Metric | None
    missing: str | None
    instead_of: str | None = None
    parts: list[Scores] = field(default_factory=list)

    @property
    def info(self) -> MetricInfo:
        return self.cls.info

    @property
    def backend(self) -> Backend:
        return self.metric.backend if self.metric else Backend(NO_BACKEND, detail=self.missing or "")


class Scorer:
    """Scores a stream of frame batches; keeps scores in memory, never frames.

    metrics: metric ids, or `path/to/file.py:Class`. A metric whose backend is missing is replaced by its fallback,
    under the fallback's id; without a fallback its column is NaN and its record gives the reason. `resize_filter` and
    `background` say how the caller prepared the frames, `region` names the masks given to `add`; all three are written
    into the records. `unavailable` says why the frames have nothing to be scored against: no metric has a score then,
    and the records give this reason.
    """

    def __init__(
        self,
        metrics: Sequence[str] = DEFAULT_METRICS,
        *,
        settings: Settings | None = None,
        resize_filter: str = "none",
        background: str = AS_FILMED,
        region: str = "full frame",
        kept: KeptResults | None = None,
        unavailable: str = "",
    ) -> None:
        if not metrics:
            raise UserError("no metric asked for")
        self._settings = settings or Settings()
        self._columns = [
            _open_column(cls, self._settings, asked, unavailable)
            for cls, asked in _resolve(metrics, self._settings).items()
        ]
        self._threads = Threads(None if self._settings.device == "cpu" else 1)
        self._before: Batch | None = None
        self._kept = kept
        self._region = region
        self._frames: list[int | str] = []
        self._inputs = Inputs()
        self._size: tuple[int, int] | None = None
        self._resize_filter = resize_filter
        self._background = background

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the ids of the columns; a fallback's id replaces that of the missing metric."""
        return tuple(column.info.id for column in self._columns)

    def add(
        self,
        frames: FramesU8,
        reference: FramesU8 | None = None,
        indices: Sequence[int | str] = (),
        region: Masks | None = None,
        masks: NDArray[Any] | None = None,
        unrounded: Unrounded | None = None,
    ) -> None:
        """Score a batch: uint8 [B,H,W,3], a reference of the same shape, and the numbers or names of the B frames.

        Batches must come in the video's order. `region` is bool [B,H,W], the pixels that are scored; a metric that
        supports no region scores the full frame, and its record says so. `masks` [B,H,W] or [B,H,W,C] are those by
        which the caller replaced the background; only their digest is recorded. `unrounded` holds the same frames and
        reference before the caller rounded them; metrics of pixels use it.

        A UserError says what is wrong with the batch: type, shape, a size that differs from earlier batches, a missing
        reference.
        """
        self._check(frames, reference, indices)
        if (region is not None) != (self._region != "full frame"):
            raise UserError(f"this scoring covers the {self._region}: give masks with every batch, or with none")
        start = len(self._frames)
        self._frames.extend(indices if len(indices) else range(start, start + len(frames)))
        batch = Batch(frames, reference, self._frames[start:], region, self._before, unrounded, self._kept)
        self._inputs.add(batch, region if masks is None else masks)
        self._score(batch)
        batch.before = None
        self._before = batch

    def _score(self, batch: Batch) -> None:
        """Add every column's scores of the batch: whole-batch metrics first, then the parts of divisible ones."""
        largest = PART_PIXELS // max(batch.frames.shape[1] * batch.frames.shape[2], 1)
        # At least one part for each thread.
        at_once = max(1, min(largest, -(-len(batch) // self._threads.count)))
        work: list[tuple[_Column, Task]] = []
        for column in sorted(self._columns, key=lambda c: c.metric is not None and c.metric.divisible):
            if column.metric is None or self._too_small(column):
                column.parts.append(np.full(len(batch), np.nan))
            elif column.metric.divisible:
                parts = [batch.part(slice(i, i + at_once)) for i in range(0, len(batch), at_once)]
                work += [(column, Task(partial(score_batch, column.metric, part), alone=True)) for part in parts]
            else:
                work.append((column, Task(partial(score_batch, column.metric, batch))))
        with kept_apart("a metric"):
            results = self._threads.run([task for _, task in work])
        for (column, _), scores in zip(work, results, strict=True):
            column.parts.append(scores)

    def table(self) -> "pandas.DataFrame":
        """Return one row per frame (index "frame"), one float64 column per metric; `.attrs["records"]` by metric id."""
        import pandas

        data = {column.info.id: self._scores(column) for column in self._columns}
        table = pandas.DataFrame(data, index=pandas.Index(self._frames, name="frame"), dtype=np.float64)
        table.attrs["records"] = {record.metric: record.as_dict() for record in self.records()}
        return table

    def records(self) -> list[Record]:
        """Return the record of each column, for the frames scored until now."""
        return [self._record(column) for column in self._columns]

    def _scores(self, column: _Column) -> Scores:
        """Return the scores of all frames of a column, as if the last batch had been the last one of the video."""
        scores = np.concatenate(column.parts) if column.parts else np.empty(0)
        if column.metric is None or not len(scores) or self._too_small(column):
            return scores
        return finished(column.metric, scores)

    def _record(self, column: _Column) -> Record:
        scores = self._scores(column)
        dropped = [self._frames[i] for i in np.flatnonzero(np.isnan(scores))]
        height, width = self._size or (0, 0)
        info, captions = column.info, self._settings.captions
        in_region = info.takes_region and self._region != "full frame"
        averages = column.cls.averages()
        uses_reference = info.needs_reference or info.optional_reference
        return Record(
            metric=info.id,
            version=info.version,
            direction=info.direction,
            unit=info.unit,
            backend=Backend(NO_BACKEND, detail=self._too_small(column)) if self._too_small(column) else column.backend,
            resolution=f"{width}x{height}",
            resize_filter=self._resize_filter,
            region=self._region if info.takes_region else "full frame",
            background=self._background,
            value_range=info.value_range,
            averaging=OWN_AVERAGING if info.averaging == MEAN and not averages else info.averaging,
            frames_scored=len(scores) - len(dropped),
            frames_dropped=tuple(dropped),
            file_sha256=column.cls.file_sha256,
            frames=self._inputs.frames,
            reference_sha256=self._inputs.reference_sha256 if uses_reference else None,
            masks_sha256=self._inputs.masks_sha256 if in_region or self._background != AS_FILMED else None,
            captions={name: getattr(captions, name) for name in info.captions} if captions else {},
            conditions=conditions_of(column.metric) if column.metric else {},
            undefined=info.undefined,
            instead_of=column.instead_of,
            video_score=None if averages else _finite(aggregated(column.cls, scores)),
        )

    def _too_small(self, column: _Column) -> str:
        """Return why the metric cannot score frames of this size; empty if it can."""
        height, width = self._size or (0, 0)
        least = column.info.least_px
        if column.metric is None or self._size is None or min(height, width) >= least:
            return ""
        return f"needs frames of {least}x{least} px or more, these have {width}x{height}"

    def _check(self, frames: FramesU8, reference: FramesU8 | None, indices: Sequence[int | str]) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise UserError(f"frames must be uint8 [N, H, W, 3], got {frames.dtype} {list(frames.shape)}")
        if reference is None:
            wanting = [c.info.id for c in self._columns if c.info.needs_reference and c.metric is not None]
            if wanting:
                raise UserError(f"give --reference: frames of a reference are needed for {', '.join(wanting)}")
        elif reference.dtype != np.uint8 or reference.shape != frames.shape:
            raise UserError(
                f"reference must be uint8 {list(frames.shape)} like the frames, "
                f"got {reference.dtype} {list(reference.shape)}"
            )
        if len(indices) not in (0, len(frames)):
            raise UserError(f"{len(frames)} frames but {len(indices)} indices")
        height, width = frames.shape[1:3]
        if self._size not in (None, (height, width)):
            raise UserError(f"frames of {width}x{height} px after frames of {self._size[1]}x{self._size[0]} px")
        self._size = (height, width)


def score(
    frames: FramesU8,
    reference: FramesU8 | None = None,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    batch: int = 16,
    names: Sequence[int | str] | None = None,
    settings: Settings | None = None,
) -> "pandas.DataFrame":
    """Score uint8 frames [N,H,W,3] against a reference of the same shape; return a table like `Scorer.table`."""
    labels = list(range(len(frames))) if names is None else list(names)
    if len(labels) != len(frames):
        raise UserError(f"{len(frames)} frames but {len(labels)} names")
    scorer = Scorer(metrics, settings=settings)
    if reference is not None and len(reference) != len(frames):
        raise UserError(f"{len(frames)} frames but {len(reference)} reference frames")
    for start in range(0, len(frames), batch):
        part = slice(start, start + batch)
        scorer.add(frames[part], None if reference is None else reference[part], labels[part])
    return scorer.table()


def _resolve(metrics: Sequence[str], settings: Settings) -> dict[type[Metric], str | None]:
    """Return the metrics to score without duplicates; a fallback comes with the id of the metric that it replaces."""
    resolved: dict[type[Metric], str | None] = {}
    asked = [metric_class(name) for name in metrics]
    for chosen in asked:
        if missing_for(chosen, settings) and chosen.info.fallback:
            fallback = metric_class(chosen.info.fallback)
            if not missing_for(fallback, settings):
                # The fallback may also have been asked for by its own id.
                resolved.setdefault(fallback, None if fallback in asked else chosen.info.id)
                continue
        resolved[chosen] = None
    require_distinct(resolved)
    return resolved


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _open_column(cls: type[Metric], settings: Settings, instead_of: str | None, unavailable: str) -> _Column:
    missing = unavailable or missing_for(cls, settings)
    return _Column(cls, None if missing else open_metric(cls, settings), missing, instead_of)
