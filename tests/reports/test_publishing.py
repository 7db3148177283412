"""A report in every form says the same, and leads back to its runs."""

from __future__ import annotations

import copy
import io
import json
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest

from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun, find_runs, load_run, open_runs
from reports import ranking
from reports.figures.clips import encode_webm, read_panels
from reports.pages import html
from reports.pages.content import _spread, plain
from reports.pages.html import PageOptions
from reports.publishing import publish
from reports.ranking import group_rows
from reports.reproduction import command
from reports.rows import Row
from tests.reports.test_comparison import run


def test_a_report_of_very_many_runs_has_tables_only(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The tables are those of a report with charts, and the page says what it lacks."""
    publish(find_runs([runs_dir]), tmp_path / "few", PageOptions(clips=False))
    assert "tables only" not in caplog.text
    monkeypatch.setattr(html, "MOST_DRAWN", 3)
    publish(find_runs([runs_dir]), tmp_path / "many")
    assert "tables only" in caplog.text
    for name in ("report.md", "report.csv", "report_wide.csv", "report.tex"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "few" / name).read_bytes()
    few, many = (json.loads((tmp_path / folder / "report.json").read_text()) for folder in ("few", "many"))
    assert many == few
    few_page, page = ((tmp_path / folder / "report.html").read_text() for folder in ("few", "many"))
    assert "more than 3 runs" in page and "more than 3 runs" not in few_page
    drawn = ("<svg", 'id="reproduce"', 'id="cost"', "Frame by frame")
    assert all(part in few_page and part not in page for part in drawn)
    # The table of scores is the same on both pages.
    assert page[page.index('<table id="table-1-scores"') :].split("</table>")[0] in few_page


def test_what_ranks_depend_on_is_found_once_for_all_files(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found seven times, which took a quarter of the time of a report of 10,000 runs."""
    asked: list[tuple[tuple[Path, ...], str]] = []

    def counted(rows: Sequence[Row], metric: str) -> ranking.Standing:
        asked.append((tuple(row.run.path for row in rows), metric))
        return true_find(rows, metric)

    true_find = ranking.find_standing
    monkeypatch.setattr(ranking, "find_standing", counted)
    publish(find_runs([runs_dir]), tmp_path, PageOptions(clips=False))
    assert asked and len(asked) == len(set(asked))


def test_runs_that_are_read_together_share_what_is_equal(runs_dir: Path) -> None:
    """Without this, 10,000 runs need 300 MB more."""
    opened = open_runs(find_runs([runs_dir])).finished
    assert len(opened) > 1
    first = opened[0]
    for other in opened[1:]:
        assert other.scores.index is first.scores.index
        assert other.manifest["identity"]["protocol"] is first.manifest["identity"]["protocol"]
        assert other.manifest == load_run(other.path).manifest


class NeverCopied(dict):  # type: ignore[type-arg]
    def __deepcopy__(self, memo: object) -> NeverCopied:
        raise AssertionError("the records of a run are copied")


def test_a_score_is_read_without_a_copy_of_all_records(runs_dir: Path) -> None:
    """pandas copies what a table carries with each column; that took most of the time of a report."""
    opened = load_run(find_runs([runs_dir])[0])
    opened.scores.attrs["records"] = NeverCopied(opened.scores.attrs["records"])
    row = Row(opened)
    assert {name: list(row.scores(name)) for name in row.cells} == {
        name: opened.scores.to_numpy()[:, place].tolist() for place, name in enumerate(row.cells)
    }


def test_every_form_tells_the_same_means(runs_dir: Path, tmp_path: Path) -> None:
    files = publish(find_runs([runs_dir]), tmp_path, PageOptions(clips=False))
    assert sorted(f.name for f in files) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
        "report.tex",
        "report_wide.csv",
    ]
    content = json.loads((tmp_path / "report.json").read_text())
    wide = pandas.read_csv(tmp_path / "report_wide.csv")
    rows = {row["run"]: row for table in content["tables"] for row in table["rows"]}
    assert len(wide) == len(rows) == 4
    texts = [(tmp_path / name).read_text() for name in ("report.html", "report.md", "report.tex")]
    for _, line in wide.iterrows():
        scores = rows[line["run"]]["scores"]
        assert line["psnr"] == pytest.approx(scores["psnr"]["mean"], rel=1e-12)
        assert line["ssim_n"] == scores["ssim"]["n"] == 12
        assert line["sd_ci95_low"] <= line["sd"] <= line["sd_ci95_high"]
        assert all(f"{line['psnr']:.2f}" in text for text in texts)
    for table in content["tables"]:
        assert sorted(row["scores"]["psnr"]["rank"] for row in table["rows"]) == [1, 2]
    assert {table["resolution_px"] for table in content["tables"]} == {32, 64}


def test_json_has_no_nan() -> None:
    assert [plain(value) for value in (np.nan, np.inf, -np.inf, 1.5)] == [None, "inf", "-inf", 1.5]


def test_a_command_makes_the_row_again(runs_dir: Path) -> None:
    """The command of a row names the folder that the run lies in."""
    from emo_bench.runs.store import RunPlace

    for folder in find_runs([runs_dir]):
        words = shlex.split(command(Row(load_run(folder))))
        options = {name: words[i + 1] for i, name in enumerate(words) if name.startswith("--") and i + 1 < len(words)}
        settings = dict(word.split("=") for i, word in enumerate(words) if words[i - 1] == "--set")
        protocol = Path(options["--protocol"])
        assert protocol.is_file(), "the protocol is a file of the user"
        place = RunPlace(
            protocol.stem,
            None,
            options["--actor"],
            options["--method"],
            settings,
            options["--profile"],
            int(options["--seed"]),
        )
        assert place.folder(runs_dir) == folder
        assert (options["--split"], words[-1]) == ("tail-12", "--skip-edit")


STYLE = {
    "name": "clay",
    "source_caption": "a man",
    "target_caption": "a clay man",
    "instruction": "",
    "editor": "styletransfer",
    "editor_settings": {"image": "my clay.png"},
}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"identity.style": STYLE}, (
            "emo-bench run --method some --actor 1 --protocol self_reenactment --split "
            "tail-500 --profile cpu --seed 0 --style PATH/clay.toml"
        )),
        ({"identity.style": STYLE, "identity.settings": {"edit.steps": "9"}}, (
            "emo-bench run --method some --actor 1 "
            "--protocol self_reenactment --split tail-500 --profile cpu --seed 0 --set edit.steps=9 "
            "--style PATH/clay.toml"
        )),
        ({"identity.style": STYLE | {"editor": "file"}}, (
            "emo-bench run --method some --actor 1 --protocol "
            "self_reenactment --split tail-500 --profile cpu --seed 0 --reference 'my clay.png' --source-prompt 'a "
            "man' --prompt 'a clay man'"
        )),
        ({"identity.profile": "given"}, (
            "emo-bench score FRAMES --actor 1 --name some --protocol PATH/p.toml --split tail"
        )),
        ({"method_place": "/far/mine.py:Mine", "protocol_place": "/far/own rules.toml"}, (
            "emo-bench run --method /far/mine.py:Mine --actor 1 --protocol '/far/own rules.toml' --split tail "
            "--profile cpu --seed 0 --skip-edit"
        )),
        ({"identity.method_file_sha256": "0" * 64}, (
            "emo-bench run --method PATH/FILE.py:CLASS --actor 1 --protocol PATH/p.toml --split tail --profile cpu "
            "--seed 0 --skip-edit"
        )),
        ({"method_place": str(Path.cwd() / "near" / "mine.toml")}, (
            "emo-bench run --method near/mine.toml --actor 1 --protocol PATH/p.toml --split tail --profile cpu "
            "--seed 0 --skip-edit"
        )),
    ],
)  # fmt: skip
def test_commands_of_edits_and_of_given_frames(changes: dict[str, object], text: str) -> None:
    changed: FinishedRun = run(changes=changes)
    manifest = copy.deepcopy(changed.manifest)
    assert command(Row(FinishedRun(changed.path, manifest, changed.scores))) == text


def test_clips_hold_source_and_ours(runs_dir: Path) -> None:
    """Every frame is there, at the run's size, close to the lossless one."""
    import av

    from emo_bench.video.lossless import read_lossless

    folder = next(path for path in find_runs([runs_dir]) if "nearest" in str(path) and "32" not in str(path))
    loaded = load_run(folder)
    webm = encode_webm(read_panels(loaded, 256), 25)
    with av.open(io.BytesIO(webm)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == ("vp9", 25.0)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert (len(frames), frames[0].shape) == (12, (64, 128, 3))
    for clip, exact in zip(frames, read_lossless(folder / "render.mkv"), strict=True):
        error = np.square(clip[:, 64:].astype(float) - exact).mean()
        assert 10 * np.log10(255**2 / error) > 26
    assert len(list(read_panels(loaded, 32, start=2, stop=5))) == 3
    assert next(read_panels(loaded, 33)).shape == (32, 64, 3)
    with pytest.raises(ValueError, match="no frame"):
        encode_webm(iter(()), 25)


def test_a_lost_preview_is_named(runs_dir: Path, tmp_path: Path) -> None:
    loaded = load_run(find_runs([runs_dir])[0])
    with pytest.raises(UserError, match=r"preview\.mp4 is missing"):
        next(read_panels(FinishedRun(tmp_path, loaded.manifest, loaded.scores), 64))


def test_seeds_have_a_spread() -> None:
    runs = [run(np.full(40, value), {"identity.seed": seed}) for seed, value in enumerate((20.0, 22.0, 27.0))]
    runs.append(run(np.full(40, 5.0), {"identity.actor.name": "2"}))
    (group,) = group_rows(runs)
    (rows,) = group.repeated()
    spread = _spread(rows)
    assert (spread["seeds"], spread["actor"]) == ([0, 1, 2], "1")
    assert spread["scores"]["psnr"] == {"mean": 23.0, "sd": pytest.approx(np.std([20, 22, 27], ddof=1))}


def test_seeds_whose_frames_are_the_recorded_ones_have_no_spread_and_no_warning() -> None:
    runs = [run(np.full(40, value), {"identity.seed": seed}) for seed, value in enumerate((20.0, np.inf, np.inf))]
    (rows,) = group_rows(runs)[0].repeated()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _spread(rows)["scores"]["psnr"] == {"mean": "inf", "sd": None}


def test_a_run_without_its_preview_is_reported_all_the_same(runs_dir: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(runs_dir, copied)
    for preview in copied.rglob("preview.mp4"):
        preview.unlink()
    page = publish(find_runs([copied]), tmp_path / "out")[0].read_text()
    assert "There is no clip, because the run folder has no preview.mp4." in page
    assert 'class="player"' not in page
