"""Reports of real runs: tables that say what they are, and a CSV that pandas reads back."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

from emo_bench.errors import UserError
from emo_bench.runs.finished import find_runs, open_runs
from emo_bench.runs.manifest import read_manifest, write_manifest
from reports import long_table, summary, write_report


def test_report_has_a_table_a_resolution_and_the_papers_own(runs_dir: Path, tmp_path: Path) -> None:
    text = write_report(find_runs([runs_dir]), tmp_path).read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## SMOKE, not a result: quick v1, split tail-12, 32 px",
        "## SMOKE, not a result: quick v1, split tail-12, 64 px",
        "## Emo-Avatar, arXiv 2402.00827v1, Table 1",
    ]
    assert "The authors measured these numbers on their own videos. They are not ranked with our scores." in text
    assert "| StyleAvatar | 2.64 | 27.83 | 4.78 | 0.075 |" in text
    assert text.count("| Nearest frame |") == 2
    for line in text.splitlines():
        if "[video](" in line:
            link = line.rpartition("[video](")[2].partition(")")[0]
            assert (tmp_path / link).resolve().is_file()


def test_a_run_that_came_without_its_videos_has_no_dead_link(runs: Path, tmp_path: Path) -> None:
    previews = sorted(runs.rglob("preview.mp4"))
    previews[0].unlink()
    text = write_report(find_runs([runs]), tmp_path / "out").read_text()
    assert text.count("[video](") == len(previews) - 1


def test_markdown_tables_are_whole(runs_dir: Path, tmp_path: Path) -> None:
    """Every row of a table has as many cells as its head, and no template mark is left."""
    text = write_report(find_runs([runs_dir]), tmp_path).read_text()
    assert not {"{{", "{%"} & set(text.split())
    blocks = [block.splitlines() for block in text.split("\n\n")]
    tables = [block for block in blocks if block[0].startswith("| ")]
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_csv_is_the_long_table(runs_dir: Path, tmp_path: Path) -> None:
    folders = find_runs([runs_dir])
    write_report(folders, tmp_path)
    table = pandas.read_csv(tmp_path / "report.csv", keep_default_na=True)
    assert len(table) == len(long_table(folders)) == 4 * 3
    assert set(table["table"]) == {1, 2}
    assert table.groupby("table")["resolution_px"].nunique().eq(1).all()
    row = table.query("method == 'mean-frame' and resolution_px == 64 and metric == 'psnr'").iloc[0]
    scores = pandas.read_parquet(Path(row["run"]) / "frames.parquet")["psnr"]
    assert row["mean"] == pytest.approx(scores.mean(), rel=1e-12)
    assert np.isnan([row["ci95_low"], row["ci95_high"]]).all() and row["n_effective"] < 1.75
    assert row["ci95_withheld"].endswith("the 12 frames are worth fewer than 1.75 independent ones")
    shown = table[table["ci95_withheld"].isna()]
    assert len(shown) and (shown["ci95_low"] <= shown["mean"]).all() and (shown["mean"] <= shown["ci95_high"]).all()
    assert (row["n"], bool(row["smoke"])) == (len(scores), True)


def test_identical_frames_do_not_hide_in_a_mean(runs_dir: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(runs_dir, copied)
    folder = next(path.parent for path in copied.rglob("frames.parquet") if path.parts[-3] == "mean-frame")
    scores = pandas.read_parquet(folder / "frames.parquet")
    scores.loc[scores.index[:2], "psnr"] = np.inf
    manifest = read_manifest(folder)
    del manifest["stages"]["score"]["files"]
    write_manifest(folder, manifest)
    scores.to_parquet(folder / "frames.parquet")
    text = write_report(find_runs([copied]), tmp_path).read_text()
    rest = scores["psnr"].iloc[2:].mean()
    assert f"**∞** (2 frames identical; the others {rest:.2f} no interval)" in text
    few = "frames with a score: 10; an interval needs at least 12"
    assert f"Actor dot, Mean frame: no interval for PSNR, because {few}." in text
    row = pandas.read_csv(tmp_path / "report.csv").query("n_infinite == 2").iloc[0]
    assert row["mean"] == np.inf
    assert row["finite_mean"] == pytest.approx(rest)


def test_an_unfinished_run_is_named_and_left_out(runs_dir: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(runs_dir, copied)
    folder = next(path.parent for path in copied.rglob("run.json"))
    manifest = folder / "run.json"
    text = manifest.read_text().replace('"finished_at"', '"was_finished_at"')
    write_manifest(folder, json.loads(text))
    text = write_report(find_runs([copied]), tmp_path).read_text()
    assert f"- `{folder}`" in text
    with pytest.raises(UserError, match=f"no run in {re.escape(str(folder))} is finished: repeat the emo-bench run"):
        write_report([folder], tmp_path)
    with pytest.raises(UserError, match=f"no run in {re.escape(str(folder))} and 3 more folders is finished"):
        open_runs([folder] * 4)


def test_summary_is_short(runs_dir: Path) -> None:
    lines = summary(find_runs([runs_dir])).splitlines()
    table = ["SMOKE,", "actor", "dot", "dot"]
    assert [line.partition(" ")[0] for line in lines] == [*table, "", *table]
    assert max(len(line) for line in lines) < 140
