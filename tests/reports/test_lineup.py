"""The qualitative comparison: which rows it shows, and that its pictures are the frames that the runs hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emo_bench.runs.finished import find_runs
from emo_bench.video.lossless import read_lossless
from reports.figures.lineup import line_up, line_up_all
from reports.pages.html import PageOptions
from reports.publishing import publish
from reports.tables import read_groups


@pytest.fixture
def rivals(runs: Path, tmp_path: Path, derived: Callable[..., Path]) -> Path:
    """Two methods (copies of the trivial methods under other names) on one subject."""
    folder = tmp_path / "rivals"
    for path in find_runs([runs]):
        if "resolution" not in path.as_posix():
            name = f"rival-{path.parent.name}"
            derived(path, folder / "quick" / "dot" / name / path.name, lambda i, name=name: i.update(method=name))
    return folder


def test_each_row_shows_the_frames_of_its_run(rivals: Path) -> None:
    (group,), _ = read_groups(find_runs([rivals]))
    (rows,) = group.subjects
    strips, headings = line_up(rows, columns=3)
    indices = [int(i) for i in rows[0].run.scores.index]
    assert headings == [f"frame {indices[p]}" for p in (0, (len(indices) - 1) // 2, len(indices) - 1)]
    assert strips[0].label == "recorded"
    for row, strip in zip(rows, strips[1:], strict=True):
        rendered = list(read_lossless(row.run.path / "render.mkv"))
        for picture, position in zip(strip.pictures, (0, (len(indices) - 1) // 2, -1), strict=True):
            np.testing.assert_array_equal(picture, rendered[position])


def test_the_recorded_frames_are_those_of_the_capture(
    rivals: Path, actor_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emo_bench import actors

    monkeypatch.setenv("EMO_BENCH_HOME", str(actor_home))
    (group,), _ = read_groups(find_runs([rivals]))
    rows = group.subjects[0]
    (recorded, *_), headings = line_up(rows, columns=4)
    wanted = [int(heading.split()[1]) for heading in headings]
    size = rows[0].identity["resolution_px"]
    for picture, frame in zip(recorded.pictures, actors.load("dot").frames(wanted, size=size), strict=True):
        assert np.abs(picture.astype(float) - frame).mean() < 6, "H.264 of the preview, another frame is further"


def test_the_report_shows_it_in_all_its_forms(rivals: Path, tmp_path: Path) -> None:
    files = publish(find_runs([rivals]), tmp_path / "out", PageOptions(clips=False))
    (figure,) = [path for path in files if path.suffix == ".jpg"]
    with Image.open(figure) as picture:
        assert picture.format == "JPEG"
        assert picture.width > picture.height
    out = tmp_path / "out"
    assert f"]({figure.name})" in (out / "report.md").read_text()
    assert f"{{{figure.name}}}" in (out / "report.tex").read_text()
    assert "data:image/jpeg;base64," in (out / "report.html").read_text()


def test_one_method_trivial_ones_or_runs_without_videos_have_none(runs: Path, rivals: Path, tmp_path: Path) -> None:
    assert line_up_all(read_groups(find_runs([runs]))[0]) == []
    groups, _ = read_groups(find_runs([rivals]))
    (lineup,) = line_up_all(groups)
    assert Image.open(io.BytesIO(lineup.jpeg)).size[1] > 3 * 128
    (rivals / "quick" / "dot" / "rival-mean-frame").joinpath("smoke-s0", "render.mkv").unlink()
    assert line_up_all(groups) == []


def test_a_damaged_video_leaves_its_figure_out_with_a_line(rivals: Path, caplog: pytest.LogCaptureFixture) -> None:
    (group,), _ = read_groups(find_runs([rivals]))
    (group.rows[0].run.path / "render.mkv").write_bytes(b"no video")
    assert line_up_all([group]) == []
    assert "has changed since it was written" in caplog.text and "the line-up of actor dot is left out" in caplog.text
