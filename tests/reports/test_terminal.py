"""`emo-bench show`: one screen that holds what matters, for finished and unfinished runs and edits."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.runs.finished import find_runs
from emo_bench.runs.manifest import write_manifest
from reports.numbers import worth
from reports.pages.terminal import BARS, print_tables, run_record, show_run, sparkline
from reports.tables import read_groups


def shown(folder: Path, width: int = 100) -> str:
    out = io.StringIO()
    show_run(folder, Console(file=out, width=width))
    return out.getvalue()


def one_run(runs_dir: Path) -> Path:
    return next(path.parent for path in runs_dir.rglob("run.json") if "nearest-frame/" in path.as_posix())


def test_a_finished_run(runs_dir: Path) -> None:
    folder = one_run(runs_dir)
    text = shown(folder)
    scores = pandas.read_parquet(folder / "frames.parquet")
    lines = text.splitlines()
    assert "Nearest frame on actor dot" in lines[0] and len(lines) <= 24
    assert max(map(len, lines)) == 100
    psnr = next(line for line in lines if "PSNR" in line)
    assert f"{scores['psnr'].mean():.2f}" in psnr and any(bar in psnr for bar in BARS)
    beside = pandas.read_parquet(next(folder.parent.parent.glob("mean-frame/*/frames.parquet")))
    assert f"{beside['psnr'].mean():.2f}" in psnr
    assert text.count("done") == 3
    assert "emo-bench run --method nearest-frame --actor dot" in " ".join(text.split())


def test_numbers_are_whole_on_a_narrow_terminal(runs_dir: Path) -> None:
    folder = one_run(runs_dir)
    wide = shown(folder, width=200)
    assert "backend" in wide and "over the frames" in wide and "too narrow" not in wide
    for width in (80, 60, 40):
        narrow = shown(folder, width=width)
        assert numbers_of_scores(narrow) == numbers_of_scores(wide) and "…" not in narrow
    assert max(map(len, shown(folder, width=80).splitlines())) == 80
    assert "this terminal is too narrow for: over the frames" in shown(folder, width=60)


def numbers_of_scores(text: str) -> list[list[str]]:
    """The mean, the interval and the trivial mean of each metric, as printed; without the numbers of frames."""
    lines = [line for line in text.splitlines() if re.search(r"^│ (PSNR|SSIM|SD)\b", line)]
    return [re.findall(r"\d+\.\d\d+", line) for line in lines]


def test_the_worth_of_frames_without_an_interval_is_not_rounded_to_two() -> None:
    shown_worths = [worth(n) for n in (1.53, 1.749, 1.75, 2.6, 9.94, 9.96, 41.2, float("nan"))]
    assert shown_worths == ["1.5", "1.7", "1.8", "2.6", "9.9", "10", "41", ""]


def test_an_unfinished_run(runs_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(one_run(runs_dir), folder)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["stages"] = {"fit": manifest["stages"]["fit"], "render": {"attempts": 1}}
    write_manifest(folder, manifest)
    text = shown(folder)
    assert ("started" in text, "not started" in text, "not finished" in text) == (True, True, True)
    record = run_record(folder)
    assert (record["finished"], record["stages"]["render"]["done"]) == (False, False)


def test_an_edit_and_its_brackets(edits_dir: Path) -> None:
    text = shown(next(edits_dir.glob("mean-frame-clay")))
    assert "actor dot, clay" in text and "[" in text


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="is not a run"):
        shown(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["show", str(tmp_path), "--json"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_json(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = one_run(runs_dir)
    with pytest.raises(SystemExit) as ended:
        main(["show", str(folder), "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (ended.value.code, record["finished"], record["method"]) == (0, True, "nearest-frame")
    assert record["scores"]["psnr"]["n"] == 12


@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf])))
def test_a_sparkline_rises_with_its_values(values: np.ndarray) -> None:
    line = sparkline(values, 12)
    assert len(line) == min(12, len(values))
    finite = np.isfinite(values)
    if len(values) <= 12 and finite.any() and np.ptp(values[finite]) > 0:
        assert line[int(np.argmax(np.where(finite, values, -np.inf)))] == BARS[-1]
        assert line[int(np.argmin(np.where(finite, values, np.inf)))] == BARS[0]
        assert [letter == " " for letter in line] == (~finite).tolist()


def test_tables_by_rich(runs_dir: Path) -> None:
    """Both resolutions, each row's means; the best of an actor is bold."""
    out = io.StringIO()
    groups, _ = read_groups(find_runs([runs_dir]))
    print_tables(groups, Console(file=out, width=120, force_terminal=True, color_system="standard"))
    text = out.getvalue()
    best = max(row.cells["psnr"].interval.mean for row in groups[1].rows)
    assert f"\x1b[1;32m{best:.2f}\x1b[0m" in text.replace("\x1b[2;1;32m", "\x1b[1;32m").replace(
        "\x1b[1;2;32m", "\x1b[1;32m"
    )
    assert text.count("Nearest frame") == 2
