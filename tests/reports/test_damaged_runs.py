"""Runs that came from somebody or were damaged: one line, or a report of what is whole."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emo_bench.errors import LONGEST, UserError
from emo_bench.runs.finished import load_run, read_scores
from emo_bench.runs.manifest import read_manifest, write_manifest
from reports.compare.paired import compare_sides
from reports.compare.sides import pair_sides

THRESHOLDS = """
version = 1
baseline = "baseline.json"
[[threshold]]
metric = "*"
settings = "*"
allow_percent = 50
"""
Call = Callable[..., tuple[int, str, str]]
MEAN, NEAREST = "mean-frame", "nearest-frame"

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20),
    st.sampled_from([[], {}, [[]], {"name": 1}, "x" * 100_000, "\x1b[31m\n", "../../x", "/etc", "0-99999999",
        "9" * 99]),
    st.integers(1, 3000).map(lambda depth: f"nested {depth}"),
)  # fmt: skip


def place(runs: Path, method: str) -> Path:
    """The folder of a trivial method's run."""
    return next(path for path in runs.rglob("smoke-s0") if path.parent.name == method)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every entry of a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [path for key in keys for path in [(*here, key), *places(value[key], (*here, key))]]


@st.composite
def mutated(draw: st.DrawFn, manifest: dict[str, Any]) -> bytes:
    """A manifest with one to three entries deleted, replaced or added; now and then torn."""
    changed = copy.deepcopy(manifest)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(changed) or [("format",)]))
        holder = changed
        for key in way:
            holder = holder[key]
        kind = draw(st.sampled_from(["delete", "replace", "replace", "add"]))
        if kind == "delete":
            del holder[last]
        elif kind == "replace":
            holder[last] = draw(VALUES)
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = draw(VALUES)
    text = json.dumps(changed)
    depth = text.find('"nested ')
    if depth >= 0:
        count = int(text[depth + 8 :].partition('"')[0])
        text = text.replace(f'"nested {count}"', "[" * count + "]" * count)
    content = text.encode("utf-8", "surrogatepass")
    return content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 20)) == 0 else content


def require_one_line_or_success(outcome: tuple[int, str, str]) -> None:
    """Exit code 0, or 2 with one line."""
    code, _, errors = outcome
    assert code in (0, 2), errors
    if code == 2:
        assert len(errors.strip().splitlines()) == 1, errors
        assert len(errors) < LONGEST + 100


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_manifest_is_one_line_or_reported(data: st.DataObject, runs: Path, call: Call) -> None:
    folder, other = place(runs, MEAN), place(runs, NEAREST)
    kept = folder.parents[1] / "whole.json"
    if not kept.exists():
        # Without its checksum: what it guards must be safe to read too.
        whole = json.loads((folder / "run.json").read_text())
        del whole["manifest_sha256"]
        for stage in whole["stages"].values():
            del stage["other_files"]
        kept.write_text(json.dumps(whole))
    (folder / "run.json").write_bytes(data.draw(mutated(json.loads(kept.read_text()))))
    for command in (
        ("report", folder, "--out", runs.parent / "out", "--no-videos"),
        ("show", folder),
        ("show", folder, "--json"),
        ("compare", folder, other),
    ):
        require_one_line_or_success(call(*command))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_scores_are_one_line_or_read(data: st.DataObject, runs: Path) -> None:
    folder = place(runs, MEAN)
    content = bytearray((folder / "frames.parquet").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    changed = folder / "changed"
    changed.mkdir(exist_ok=True)
    (changed / "frames.parquet").write_bytes(content)
    try:
        scores = read_scores(changed, read_manifest(folder))
    except UserError:
        return
    assert len(scores) == 12 and set(scores) == {"psnr", "ssim", "sd"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_baseline_is_one_line_or_used(data: st.DataObject, runs: Path, call: Call) -> None:
    file, baseline = runs.parent / "t.toml", runs.parent / "baseline.json"
    file.write_text(THRESHOLDS)
    kept = runs.parent / "whole.json"
    folder = place(runs, MEAN)
    if not kept.exists():
        assert call("check", "--thresholds", file, "--update", folder)[0] == 0
        shutil.copy(baseline, kept)
    baseline.write_bytes(data.draw(mutated(json.loads(kept.read_text()))))
    code, _, errors = call("check", "--thresholds", file, folder)
    assert code in (0, 1, 2), errors
    assert code < 2 or len(errors.strip().splitlines()) == 1, errors


def make_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def nan_and_a_huge_line(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    line = r"\u001b[2J" * 100_000
    file.write_text(text.replace('"seconds": ', f'"seconds": "{line}", "x": NaN, "y": ', 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("run.json", make_fifo),
        ("run.json", make_folder),
        ("run.json", empty),
        ("run.json", nan_and_a_huge_line),
        ("frames.parquet", make_fifo),
        ("frames.parquet", empty),
        ("frames.parquet", Path.unlink),
    ],
)
def test_one_damaged_run_does_not_end_the_report_of_the_others(
    name: str, damage: Callable[[Path], None], runs: Path, call: Call
) -> None:
    folder, out = place(runs, MEAN), runs.parent / "out"
    damage(folder / name)
    code, _, errors = call("report", runs, "--out", out, "--no-videos")
    assert code == 0
    assert errors.count("\n") == 1 and len(errors) < LONGEST + 100
    assert errors.startswith(f"warning: left out: {folder / name} ")
    content = json.loads((out / "report.json").read_text())
    assert [damaged["run"] for damaged in content["damaged"]] == [folder.as_posix()]
    assert {row["run"] for table in content["tables"] for row in table["rows"]} == {
        path.parent.as_posix() for path in runs.rglob("run.json") if path.parent != folder
    }
    for page in ("report.md", "report.html"):
        assert "Damaged" in (out / page).read_text()
    for command in (
        ("show", folder),
        ("report", folder, "--out", out),
        ("compare", folder, place(runs, NEAREST)),
        ("score", folder),
    ):
        code, _, errors = call(*command)
        assert code == 2 and errors.count("\n") == 1, errors


def test_compare_leaves_out_what_is_damaged_below_a_folder_and_check_refuses_it(runs: Path, call: Call) -> None:
    empty(next(runs.rglob("mean-frame+*/smoke-s0")) / "frames.parquet")
    pairs, notes = pair_sides([runs])
    assert [compare_sides(a, b) for a, b in pairs]
    assert len(notes) == 1 and notes[0].startswith("left out: ") and "frames.parquet has changed since" in notes[0]
    (runs.parent / "t.toml").write_text(THRESHOLDS)
    code, _, errors = call("check", "--thresholds", runs.parent / "t.toml", runs)
    assert code == 2 and "frames.parquet has changed since" in errors and errors.count("\n") == 1


def test_a_damaged_preview_or_table_of_losses_is_a_warning(
    runs: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    folder = place(runs, MEAN)
    cut = (folder / "preview.mp4").read_bytes()[:-4000]
    (folder / "preview.mp4").write_bytes(cut)
    os.mkfifo(folder / "train.csv")
    assert call("report", folder, "--out", runs.parent / "out")[0] == 0
    assert "its clip is left out" in caplog.text and "its curves are left out" in caplog.text
    code, out, _ = call("show", folder)
    assert code == 0 and "is not a regular file" in " ".join(out.replace("│", " ").split())


def test_links_in_a_received_folder_lead_nowhere(runs: Path, call: Call, tmp_path: Path) -> None:
    folder, outside = place(runs, MEAN), tmp_path / "outside"
    outside.write_bytes(b"precious")
    names = ("report.html", "report.md", "report.csv", "report.json", "report.tex", "report_wide.csv")
    for name in names:
        for link in (folder / name, folder / f"{name}.part"):
            link.unlink(missing_ok=True)
            link.symlink_to(outside)
    assert call("report", folder, "--no-videos")[0] == 0
    assert outside.read_bytes() == b"precious"
    assert not any((folder / name).is_symlink() for name in names)


def test_scores_of_another_run_are_refused(runs: Path) -> None:
    shutil.copy(place(runs, NEAREST) / "frames.parquet", place(runs, MEAN) / "frames.parquet")
    manifest = read_manifest(place(runs, MEAN))
    # As a version that kept no SHA-256 of the file wrote it.
    del manifest["stages"]["score"]["files"]
    write_manifest(place(runs, MEAN), manifest)
    with pytest.raises(UserError, match="belong to other frames than the rendered ones"):
        load_run(place(runs, MEAN))


def test_a_record_under_the_name_of_another_metric_is_refused(runs: Path, call: Call) -> None:
    file = place(runs, MEAN) / "run.json"
    manifest = json.loads(file.read_text())
    manifest["stages"]["score"]["records"]["ssim"]["metric"] = "0"
    write_manifest(file.parent, manifest)
    code, _, errors = call("show", place(runs, MEAN))
    assert code == 2 and "the record of ssim belongs to metric 0" in errors
