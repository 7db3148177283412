"""Line charts as inline SVG: the lines stretch with the page, and the text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from emo_bench.text.plain_text import printable

WIDTH, HEIGHT = 1000, 300
ROOM = 0.04

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A line: ``x`` and ``y`` ``[N]``, with a gap where ``y`` is not finite. ``band`` has two edges ``[N]``.

    ``tone`` is the line's colour, a number of the page's palette; 0 is grey, for trivial methods. ``dash`` 0 is a whole
    line, 1 a dashed and 2 a dotted one.
    """

    label: str
    x: Floats
    y: Floats
    tone: int
    band: tuple[Floats, Floats] | None = None
    dash: int = 0


@dataclass(frozen=True)
class Axes:
    """The labels of a chart's axes, and how it is drawn."""

    x_label: str
    y_label: str
    log_y: bool = False
    markers: bool = False
    classes: str = ""
    data: dict[str, str] = field(default_factory=dict)


def line_chart(series: Sequence[Series], axes: Axes) -> Markup:
    """A figure with ticks and lines, and the data that report.js reads; empty if no value is finite."""
    shown = [line for line in series if np.isfinite(line.y).any()]
    if not shown:
        return Markup("")
    x_range = _range(np.concatenate([line.x for line in shown]), 0.0)
    y_range = _range(_scaled(np.concatenate([_extent(line) for line in shown]), axes.log_y), ROOM)
    shapes = Markup("").join(_shapes(line, x_range, y_range, axes) for line in shown)
    x_ticks = Markup("").join(
        Markup('<span class="tick x" style="left:{:.2f}%">{}</span>').format(
            100 * _place(tick, x_range), _tick_text(tick)
        )
        for tick in nice_ticks(*x_range, 7)
    )
    grid, y_ticks = _y_ticks(y_range, axes.log_y)
    data = {
        **axes.data,
        "x0": f"{x_range[0]:.9g}",
        "x1": f"{x_range[1]:.9g}",
        "y0": f"{y_range[0]:.9g}",
        "y1": f"{y_range[1]:.9g}",
        "log": str(int(axes.log_y)),
    }
    attributes = Markup(" ").join(Markup('data-{}="{}"').format(key, value) for key, value in data.items())
    chart = Markup(
        '<figure class="chart {}" {}><figcaption>{} <span class="axis">against {}</span></figcaption>'
        '<div class="plot"><svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{} against {}">'
        "{}{}</svg>{}{}</div></figure>"
    ).format(
        axes.classes, attributes, axes.y_label, axes.x_label, WIDTH, HEIGHT, axes.y_label, axes.x_label, grid,
        shapes, x_ticks, y_ticks,
    )  # fmt: skip
    # The names of losses come from a train.csv that anybody may have written.
    return Markup(printable(str(chart)))


def nice_ticks(low: float, high: float, at_most: int) -> list[float]:
    """At most ``at_most`` round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10, 20) if (high - low) / (step * power) <= at_most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _shapes(line: Series, x_range: tuple[float, float], y_range: tuple[float, float], axes: Axes) -> Markup:
    x = _places(line.x, x_range) * WIDTH
    y = (1 - _places(_scaled(line.y, axes.log_y), y_range)) * HEIGHT
    shapes = Markup("")
    if line.band is not None:
        low, high = ((1 - _places(_scaled(edge, axes.log_y), y_range)) * HEIGHT for edge in line.band)
        for run in _runs(np.isfinite(low) & np.isfinite(high)):
            edge = [*zip(x[run], high[run], strict=True), *zip(x[run][::-1], low[run][::-1], strict=True)]
            shapes += Markup('<path class="band t{}" d="{}Z"/>').format(line.tone, _path(edge))
    runs = _runs(np.isfinite(y))
    path = "".join(_path(list(zip(x[run], y[run], strict=True))) for run in runs)
    kind = f" dash-{line.dash}" if line.dash else ""
    shapes += Markup('<path class="line t{}{}" data-label="{}" d="{}"/>').format(line.tone, kind, line.label, path)
    alone = [i for run in runs for i in (range(*run.indices(len(y))) if axes.markers else ())] + [
        run.start for run in runs if run.stop - run.start == 1 and not axes.markers
    ]
    for i in alone:
        # A stroke without length is drawn as a dot, which stays round if the picture is stretched.
        shapes += Markup('<path class="dot t{}" d="M{:.1f} {:.1f}h.01"/>').format(line.tone, x[i], y[i])
    return shapes


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _runs(mask: NDArray[np.bool_]) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _extent(line: Series) -> Floats:
    return line.y if line.band is None else np.concatenate([line.y, *line.band])


def _scaled(values: Floats, log: bool) -> Floats:
    if not log:
        return values
    return np.log10(np.where(values > 0, values, np.nan))


def _range(values: Floats, room: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    margin = room * (high - low)
    return low - margin, high + margin


def _place(value: float, between: tuple[float, float]) -> float:
    return (value - between[0]) / (between[1] - between[0])


def _places(values: Floats, between: tuple[float, float]) -> Floats:
    return (values - between[0]) / (between[1] - between[0])


def _y_ticks(between: tuple[float, float], log: bool) -> tuple[Markup, Markup]:
    """The grid lines, and their labels."""
    ticks = nice_ticks(*between, 5)
    if log:
        whole = [float(i) for i in range(math.ceil(between[0]), math.floor(between[1]) + 1)]
        ticks = whole[:: max(1, len(whole) // 5)] or ticks
    places = [1 - _place(tick, between) for tick in ticks]
    grid = Markup("").join(
        Markup('<path class="grid" d="M0 {:.1f}H{}"/>').format(HEIGHT * place, WIDTH) for place in places
    )
    text = Markup("").join(
        Markup('<span class="tick y" style="top:{:.2f}%">{}</span>').format(
            100 * place, _tick_text(10**tick if log else tick)
        )
        for tick, place in zip(ticks, places, strict=True)
    )
    return grid, text


def _tick_text(value: float) -> Markup:
    return escape(f"{value:.4g}".replace("-", "\N{MINUS SIGN}"))
