"""The gallery's sheets against the recorded frames, and the page's numbers against the scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emo_bench import actors
from emo_bench.runs.finished import find_runs, load_run
from emo_bench.runs.manifest import write_manifest
from emo_bench.video.preview import EDIT_GAIN, LABEL_PX, PreviewWriter
from protocols.splitting import parse_frames
from reports import gallery
from reports.numbers import number
from reports.rows import Row


def test_a_sheet_shows_recorded_frames_above_rendered_ones(
    runs_dir: Path, actor_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(actor_home))
    path = next(path for path in find_runs([runs_dir]) if "mean-frame/" in path.as_posix())
    run = load_run(path)
    made = gallery.sheet(Row(run))
    side = int(run.manifest["identity"]["resolution_px"])
    assert made.shape == (3 * side, gallery.COLUMNS * side, 3)
    frames = list(parse_frames(run.manifest["split"]["test"]))
    truth = np.stack(list(actors.load("dot").frames([frames[0], frames[-1]], size=side))).astype(float)
    for recorded, cell in zip(truth, (made[:side, :side], made[:side, -side:]), strict=True):
        assert np.abs(cell - recorded).mean() < 6.0, "H.264 and nothing else lies between"
    rendered, shown = made[side : 2 * side].astype(float), made[2 * side :].astype(float)
    expected = np.clip((rendered - made[:side]) * gallery.DIFFERENCE_GAIN + 128, 0, 255)
    assert np.abs(shown - expected).max() <= 1.0


def test_the_page_names_each_method_but_no_trivial_one(edits_dir: Path, tmp_path: Path) -> None:
    edits = Path(shutil.copytree(edits_dir, tmp_path / "edits"))
    for path in find_runs([edits]):
        for name in ("source.png", "reference.png"):
            Image.new("RGB", (64, 64), (200, 100, 50)).save(path / name)
        manifest = json.loads((path / "run.json").read_text())
        if manifest["identity"]["method"] == "nearest-frame":
            manifest["identity"]["method"] = manifest["title"] = "painter"
            write_manifest(path, manifest)
    page = gallery.make_gallery([edits], tmp_path / "gallery").read_text()
    assert page.count("](painter-dot-") == 2 and "mean-frame" not in page
    assert sorted(file.name for file in (tmp_path / "gallery").glob("*.jpg")) == [
        "painter-dot-clay.jpg",
        "painter-dot-ink.jpg",
    ]
    rows = [Row(load_run(path)) for path in find_runs([edits])]
    for row in (row for row in rows if not row.trivial):
        assert number(row.cells["psnr"].interval.mean) in page
        assert (gallery.sheet(row)[:64, :64] == (200, 100, 50)).all()


def test_a_missing_preview_is_one_line(runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_edits_difference_is_never_cut_off(tmp_path: Path) -> None:
    black, white = np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)
    writer = PreviewWriter(tmp_path / "preview.mp4", "edit", 25, EDIT_GAIN)
    panels = [writer.picture(a, b)[2 * LABEL_PX :, 512:] for a, b in ((black, white), (white, black), (white, white))]
    brighter, darker, same = (int(panel[0, 0, 0]) for panel in panels)
    assert 255 >= brighter > same + 100 and same - 100 > darker >= 0 and same == 128
