"""Charts draw what they are given: places, gaps, bands, bins, losses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun
from reports.figures.charts import HEIGHT, ROOM, WIDTH, Axes, Series, line_chart, nice_ticks
from reports.figures.curves import MOTIONS, _binned, frame_chart, loss_charts, read_losses, strokes
from reports.rows import Row
from tests.reports.test_comparison import MANIFEST, run


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_round_few_and_inside(low: float, width: float, at_most: int) -> None:
    high = low + width
    if not high > low:
        return
    ticks = nice_ticks(low, high, at_most)
    assert len(ticks) <= at_most
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        digit = step / 10 ** np.floor(np.log10(step) + 1e-9)
        assert min(abs(digit - d) for d in (1, 2, 5, 10)) < 1e-3 * max(1, abs(low) / step * 1e-9)


def points(chart: str, kind: str = "line") -> list[tuple[float, float]]:
    paths = re.findall(rf'<path class="{kind}[^>]*? d="([^"]*)"', chart)
    return [(float(x), float(y)) for path in paths for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def test_a_line_is_where_its_numbers_are() -> None:
    line = Series("a", np.array([0.0, 5.0, 10.0]), np.array([1.0, 3.0, 2.0]), 1)
    chart = str(line_chart([line], Axes("frame", "PSNR")))
    top, bottom = 3 + ROOM * 2, 1 - ROOM * 2
    expected = [(x * WIDTH / 10, HEIGHT * (top - y) / (top - bottom)) for x, y in ((0, 1), (5, 3), (10, 2))]
    np.testing.assert_allclose(points(chart), expected, atol=0.051)
    assert f'data-y1="{top:.9g}"' in chart


def test_undefined_and_infinite_scores_are_gaps() -> None:
    y = np.array([1.0, 2.0, np.nan, 3.0, np.inf, 4.0, 5.0])
    chart = str(line_chart([Series("a", np.arange(7.0), y, 1)], Axes("frame", "x")))
    assert re.search(r'd="M[^M]*M[^M]*M[^M"]*"', chart)
    assert len(points(chart)) == 5
    assert len(points(chart, "dot")) == 1, "a lone frame between gaps is a dot"
    assert line_chart([Series("a", np.arange(7.0), np.full(7, np.nan), 1)], Axes("frame", "x")) == ""


def test_labels_cannot_break_the_page() -> None:
    line = Series('<script>"', np.arange(3.0), np.arange(3.0), 1)
    chart = str(line_chart([line], Axes("<x>", "<y>")))
    assert "<script>" not in chart and "&lt;script&gt;&#34;" in chart and "<y>" not in chart
    steering = Series("\x1b[2J", np.arange(3.0), np.arange(3.0), 1)
    chart = str(line_chart([steering], Axes("\x1b]0;t\x07", "loss\u202e")))
    assert chart.isprintable() and r"\x1b[2J" in chart and r"\x1b]0;t\x07" in chart and r"loss\u202e" in chart


def test_bins_hold_means_and_quartiles() -> None:
    degrees = np.concatenate([np.full(8, 1.0), np.full(4, 7.0), np.full(6, -3.0)])
    scores = np.concatenate([np.arange(8.0), np.arange(4.0), np.array([2.0, 2, 2, 2, 2, np.nan])])
    centres, means, low, high = _binned(degrees, scores, 5.0)
    assert centres.tolist() == [-2.5, 2.5, 7.5]
    np.testing.assert_allclose(means, [2.0, 3.5, np.nan])
    np.testing.assert_allclose([low[1], high[1]], np.percentile(np.arange(8.0), [25, 75]))


def test_bins_of_mouth_opening_are_narrow() -> None:
    """Openings 0.01 to 0.09 in bins of 0.05: the error of an open mouth is twice that of a shut one."""
    opening = np.repeat([0.01, 0.03, 0.06, 0.09], 3)
    centres, means, _, _ = _binned(opening, np.repeat([1.0, 1.0, 2.0, 2.0], 3), MOTIONS["mouth"].bin)
    np.testing.assert_allclose(centres, [0.025, 0.075])
    assert means.tolist() == [1.0, 2.0]


def test_trivial_methods_are_grey_and_told_apart() -> None:
    rows = [Row(run(changes={"identity.method": name})) for name in ("a", "b", "mean-frame", "nearest-frame")]
    assert strokes(rows) == [(1, 0), (2, 0), (0, 1), (0, 2)]
    assert len(set(strokes(rows[:1] * 18))) == 18
    chart = str(frame_chart(rows[:1] * 2, "psnr"))
    assert chart.count('data-label="Some avatar, cpu, seed 0"') == 2


def test_losses_are_averaged_not_dropped(tmp_path: Path) -> None:
    steps = np.arange(1000)
    pandas.DataFrame({"step": steps, "l1": steps % 2.0, "flat": 0.5}).to_csv(tmp_path / "train.csv", index=False)
    row = Row(FinishedRun(tmp_path, MANIFEST, pandas.DataFrame()))
    (chart,) = loss_charts(row)
    drawn = points(str(chart))
    assert 100 < len(drawn) <= 160


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"step,l1\n0,x\n",
        b"step,l1\n0,1,2\n",
        b"step,l1\n0,1e308\n1,-1e308\n",
        b"step,l1\nnan,1\n",
        b"\xff\xfe",
        b'"' + b"x" * 200_000,
    ],
)
def test_a_damaged_table_of_losses_is_one_line_and_no_chart(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"train\.csv is damaged"):
        read_losses(tmp_path / "train.csv")
    assert loss_charts(Row(FinishedRun(tmp_path, MANIFEST, pandas.DataFrame()))) == []
    assert "its curves are left out" in caplog.text
