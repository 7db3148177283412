"""The charts of a report: scores by frame, by head angle and by opening of the mouth, and losses by step."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.manifest import LARGEST, shown_actor, shown_capture
from emo_bench.untrusted.regular_file import read_regular
from reports.figures.charts import Axes, Series, line_chart
from reports.numbers import heading
from reports.rows import Row

TONES = 6
FRAMES_IN_BIN = 5
LOSS_POINTS = 160
LOSSES = "train.csv"
LOSSES_LIMIT_BYTES = 2**29
JAW_OPEN = "jawOpen"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """What scores are drawn against: the label of the axis, and the width of a bin in its unit."""

    label: str
    bin: float


MOTIONS = {
    "yaw": Motion("head yaw, degrees", 5.0),
    "pitch": Motion("head pitch, degrees", 5.0),
    "mouth": Motion("opening of the mouth (jawOpen of the track)", 0.05),
}

log = logging.getLogger("emo_bench")


def strokes(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Colour and dash of each row. Trivial methods are grey, dashed or dotted; others have colours 1 to ``TONES``."""
    found: list[tuple[int, int]] = []
    for row in rows:
        alike = sum((tone == 0) == row.trivial for tone, _ in found)
        found.append((0, 1 + alike % 2) if row.trivial else (1 + alike % TONES, alike // TONES % 3))
    return found


def frame_chart(rows: Sequence[Row], metric: str) -> Markup:
    """A chart of the scores of one subject's rows against the frame number; an infinite score is a gap."""
    series = [
        Series(label(row, rows), row.run.scores.index.to_numpy(dtype=np.float64), row.scores(metric), tone, dash=dash)
        for row, (tone, dash) in zip(rows, strokes(rows), strict=True)
    ]
    axes = Axes("frame", heading(rows[0].cells[metric]), classes="by-frame", data={"metric": metric})
    return line_chart(series, axes)


def motion_chart(rows: Sequence[Row], metric: str, tracked: dict[str, Floats], name: str) -> Markup:
    """A chart of means and quartiles in bins of head angle or mouth opening with at least ``FRAMES_IN_BIN`` frames.

    Args:
        rows: the rows of one subject.
        metric: its id.
        tracked: :func:`tracked_motion` of the subject.
        name: one of ``MOTIONS``.
    """
    motion, series = MOTIONS[name], []
    for row, (tone, dash) in zip(rows, strokes(rows), strict=True):
        values = tracked[name][row.run.scores.index.to_numpy()]
        centers, means, low, high = _binned(values, row.scores(metric), motion.bin)
        series.append(Series(label(row, rows), centers, means, tone, band=(low, high), dash=dash))
    data = {"metric": metric, "motion": name}
    axes = Axes(motion.label, heading(rows[0].cells[metric]), classes="by-motion", markers=True, data=data)
    return line_chart(series, axes)


def tracked_motion(row: Row) -> dict[str, Floats] | None:
    """What ``MOTIONS`` names, in every frame of the actor who drives the row, each ``[T]``; None if it is not here.

    Yaw and pitch are in degrees, the opening of the mouth is a coefficient in [0, 1].
    """
    from emo_bench import actors
    from emo_bench.runs.rescoring import protocol_of
    from emo_bench.runs.views import cameras_of, viewed_track

    actor, manifest = shown_actor(row.identity), row.run.manifest
    try:
        capture = actors.load(actor["name"])
        if capture.sha256 != actor["sha256"]:
            return None
        views = protocol_of(manifest).views if row.other_views else None
    except UserError:
        return None
    track = capture.track
    if views is not None:
        track = viewed_track(track, cameras_of(track, views), landmarks=False)
    yaw, pitch = track.yaw_pitch_deg().astype(np.float64).T
    if shown_capture(manifest)["frames"] != len(yaw):
        return None
    mouth = track.coefficient(JAW_OPEN).astype(np.float64)
    return {"yaw": yaw, "pitch": pitch, "mouth": mouth}


def loss_charts(row: Row) -> list[Markup]:
    """A chart per column of the run's ``train.csv``, averaged to at most ``LOSS_POINTS`` points; none without it."""
    path = row.run.path / LOSSES
    if not path.exists():
        return []
    try:
        require_unchanged(row.run.path, row.run.manifest, [LOSSES])
        names, table = read_losses(path)
    except UserError as error:
        log.warning("%s: its curves are left out", error)
        return []
    if not len(table):
        return []
    edges = np.linspace(0, len(table), min(LOSS_POINTS, len(table)) + 1).astype(int)
    points = np.stack([table[a:b].mean(axis=0) for a, b in pairwise(edges)])
    charts = []
    for i, name in enumerate(names[1:], start=1):
        values = table[:, i]
        if np.isfinite(values).any() and np.ptp(values[np.isfinite(values)]) > 0:
            spread = values[values > 0]
            log_y = bool((values >= 0).all() and spread.size and spread.max() > 20 * np.median(spread))
            line = Series(name, points[:, 0], points[:, i], 1)
            charts.append(line_chart([line], Axes(names[0], name, log_y=log_y, classes="small")))
    return charts


def label(row: Row, rows: Sequence[Row]) -> str:
    """The title of a row, with profile and seed if another of the rows has the same title."""
    alike = sum(other.title == row.title for other in rows) > 1
    return f"{row.title}, {row.identity['profile']}, seed {row.identity['seed']}" if alike else row.title


def _binned(motion: Floats, scores: Floats, width: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Centres of bins of this width, means and quartiles; NaN for a bin with too few frames."""
    finite = np.isfinite(motion) & np.isfinite(scores)
    if not finite.any():
        return (np.empty(0),) * 4
    bins = np.floor(motion[finite] / width).astype(int)
    numbers = np.arange(bins.min(), bins.max() + 1)
    values = np.full((3, len(numbers)), np.nan)
    for i, number in enumerate(numbers):
        inside = scores[finite][bins == number]
        if len(inside) >= FRAMES_IN_BIN:
            values[:, i] = inside.mean(), *np.quantile(inside, [0.25, 0.75])
    return (numbers + 0.5) * width, values[0], values[1], values[2]


def read_losses(path: Path) -> tuple[list[str], Floats]:
    """Read the losses of a training: names of the columns, and values ``[N, columns]``. The first column counts steps.

    Raises:
        UserError: the file is damaged.
    """
    try:
        text = read_regular(path, LOSSES_LIMIT_BYTES).decode("utf-8")
        names, *lines = csv.reader(io.StringIO(text, newline=""))
        table = np.array([[float(cell or "nan") for cell in line] for line in lines], dtype=np.float64)
        table = table.reshape(len(lines), len(names))
        if not names or not np.isfinite(table[:, 0]).all():
            raise ValueError("the first column must number the steps")
        if (np.isfinite(table) & (np.abs(table) > LARGEST)).any():
            raise ValueError("it holds numbers that are not losses")
    except (ValueError, csv.Error, IndexError) as error:
        raise UserError(f"{path} is damaged ({error})") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    return names, table
