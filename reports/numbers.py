"""Print numbers as reports do: digits, intervals, durations, headings with arrows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.statistics import Interval
from reports.ranking import Group
from reports.rows import Cell, Row

ARROWS = {"higher": "↑", "lower": "↓"}
LABELS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "sd": "SD",
    "lpips": "LPIPS",
    "st-lpips": "ST-LPIPS",
    "flmd": "F-LMD",
    "flmd_aligned": "F-LMD, aligned",
    "expression_error": "expression distance",
    "pose_change_error_deg": "pose distance",
    "mouth_correlation": "mouth correlation",
    "gaze_correlation": "gaze correlation",
    "identity_to_subject": "identity",
    "identity_distance_to_subject": "identity distance",
    "identity_similarity": "identity of the frame",
    "biq": "BIQ",
    "clip_d": "CLIP-D",
    "clip_d-judge": "CLIP-D (judge)",
    "clip_dv": "CLIP-D^v",
    "clip_dv-judge": "CLIP-D^v (judge)",
    "clip_dv_in2n": "CLIP-D^v (in2n)",
    "warping_error": "warping error",
    "warping_error_own": "warping error",
}
UNITLESS = "1"
SMALL = 0.001


def group_title(group: Group) -> str:
    """The title of a table, as in ``self_reenactment v1, split tail-500, 128 px``. Smoke runs have a warning."""
    first = group.rows[0]
    identity = first.identity
    smoke = "SMOKE, not a result: " if first.run.manifest["smoke"] else ""
    protocol = identity["protocol"]
    size = identity["resolution_px"]
    return f"{smoke}{protocol['name']} v{protocol['version']}, split {identity['split']['name']}, {size} px"


def metric_label(metric: str) -> str:
    """The label of a metric, such as ``PSNR`` for ``psnr``; the id itself if the metric has no label."""
    return LABELS.get(metric, metric)


def heading(cell: Cell) -> str:
    """The heading of a metric's column, as in ``PSNR ↑ dB``."""
    record = cell.record
    unit = "" if record["unit"] == UNITLESS else f" {record['unit']}"
    return f"{metric_label(record['metric'])} {ARROWS[record['direction']]}{unit}"


def times(row: Row) -> list[str]:
    """The time of the fit and the speed of rendering, as text; a + means that the fit was resumed.

    A video editor has no fit; its speed is that of the edit.
    """
    fit, render = row.stages["fit"], row.stages["render"]
    resumed = "+" if fit["attempts"] > 1 else ""
    fps = render["frames"] / max(render["seconds"], 0.01)
    speed = f"{fps:.0f} fps" if fps >= 1 else f"{fps:.2g} fps"
    return ["none" if row.kind == VIDEO_EDITOR else f"{duration(fit['seconds'])}{resumed}", speed]


def duration(seconds: float) -> str:
    """A duration in seconds, or in minutes if it is two minutes or more."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"


def gib(mib: float | None) -> str:
    """Memory in GiB as text, from MiB; empty if it is unknown."""
    return "" if mib is None else f"{mib / 1024:.1f} GiB"


def number(value: float) -> str:
    """A number with four significant digits and at most four decimals.

    A number below ``SMALL`` is printed as a power of ten, NaN as ``n/a`` and infinity as ``∞``.
    """
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞"
    if 0 < abs(value) < SMALL:
        return f"{value:.2e}"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 3
    return f"{value:.{min(max(digits, 0), 4)}f}"


def percent(share: float) -> str:
    """A share as ``97.4 %``; it is rounded down, so that only all is ``100 %``."""
    tenths = math.floor(share * 1000 + 1e-6)
    return f"{tenths // 10} %" if tenths % 10 == 0 else f"{tenths / 10:.1f} %"


def share_heading(cell: Cell) -> str:
    """The heading of the column with the share of the frames that have a score, as in ``F-LMD: frames scored``."""
    return f"{metric_label(cell.record['metric'])}: frames scored"


def span(low: float, high: float) -> str:
    """An interval in brackets."""
    return f"[{number(low)}, {number(high)}]"


def worth(n_effective: float) -> str:
    """A number of independent frames, rounded; empty if it is not known."""
    if math.isnan(n_effective):
        return ""
    # An interval is withheld below 1.75: a rounded 2 would hide why.
    return f"{n_effective:.1f}" if n_effective < 9.95 else f"{n_effective:.0f}"


def bracket(interval: Interval) -> str:
    """The interval in brackets, or ``no interval`` if it is withheld."""
    return "no interval" if interval.withheld else span(interval.low, interval.high)


def finite(value: Any) -> Any:
    """A copy of plain values for JSON, in which NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
