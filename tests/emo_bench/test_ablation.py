"""Ablations through the command line, with a method whose stages leave a trace: sharing, resuming, what cannot run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emo_bench.ablation.figures import side_views
from emo_bench.cli import main
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import read_manifest
from emo_bench.video.strips import Strip, save_strips

METHOD = """
import os
from pathlib import Path
import numpy as np
from PIL import Image
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, MethodInfo
from emo_bench.methods.training.stage_cache import keep_stage, stages_taken, take_stage
from emo_bench.methods.training.stage_clock import read_seconds, write_seconds

TRACE = Path(__file__).with_name("trace.txt")

def trace(word):
    with TRACE.open("a") as file:
        file.write(word + "\\n")

class Staged(Method):
    info = MethodInfo("staged", "Staged", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train):
        settings, folder = self.workspace.settings, self.workspace.folder
        if settings.get("broken"):
            raise UserError("this variant lacks a part")
        init = folder / "init.txt"
        inputs = {"start": settings.get("start", "40"), "train": list(train), "capture": capture.sha256}
        if not init.exists() and not take_stage(self.workspace, "init", inputs, ["init.txt"]):
            trace("init " + settings.get("start", "40"))
            init.write_text(settings.get("start", "40"))
            ramp = np.linspace(0, 255, 32 * 5).astype(np.uint8)[None, :, None]
            Image.fromarray(np.broadcast_to(ramp, (32, 160, 3)).copy()).save(folder / "interpolation.png")
            write_seconds(folder, {"init": 2.0})
        keep_stage(self.workspace, "init", inputs, ["init.txt"])
        if settings.get("level", "0") == os.environ.get("STOP_AT"):
            raise KeyboardInterrupt
        trace("fit " + settings.get("level", "0"))
        (folder / "level.txt").write_text(str(int(init.read_text()) + int(settings.get("level", "0"))))

    def load(self): ...

    def describe(self):
        seconds = {**read_seconds(self.workspace.folder), "render": 3.0}
        taken = stages_taken(self.workspace.folder)
        return {"config": dict(self.workspace.settings), "stage_seconds": seconds, "shared_stages": taken}

    def render(self, capture, indices):
        level = int((self.workspace.folder / "level.txt").read_text())
        for i in indices:
            yield np.full((64, 64, 3), level + i % 3, np.uint8)

    def edit(self, style, workspace):
        if "supervision" in workspace.settings:
            raise UserError(f"no model for {style.editor}")
        return Painted(workspace)

class Painted(Staged):
    def fit(self, capture, train):
        trace("edit " + self.workspace.settings.get("level", "0"))
        (self.workspace.folder / "level.txt").write_text("200")
"""
VARIANTS = """
version = 1
method = "METHOD"
reference = "ours"
[[table]]
id = "parts"
title = "Parts"
variants = ["brighter", "darker", "other-start", "broken", "other-edit", "no-model", "ours"]
labels = { ours = "Ours, whole" }
[[table]]
id = "levels"
title = "Levels"
variants = ["same", "brighter", "ours"]
[[figure]]
id = "figure-3"
title = "Interpolation"
kind = "interpolation"
variants = ["ours", "other-start"]
[[figure]]
id = "figure-6"
title = "Side views"
kind = "side-views"
variants = ["ours", "brighter"]
[[variant]]
name = "ours"
title = "Ours"
edit = {}
[[variant]]
name = "brighter"
title = "Brighter"
settings = { level = 30 }
[[variant]]
name = "darker"
title = "Darker"
by_profile.smoke = { level = "-30" }
[[variant]]
name = "other-start"
title = "Other start"
settings = { start = "10" }
[[variant]]
name = "broken"
title = "Broken"
settings = { broken = true }
edit = {}
[[variant]]
name = "other-edit"
title = "Other edit"
edit = { level = "1" }
[[variant]]
name = "no-model"
title = "No model"
edit = { supervision = "dataset-update" }
editor = "file"
editor_settings = { image = "nowhere.png" }
[[variant]]
name = "same"
title = "The same"
"""


class Ablate:
    """Calls the command; `trace` is what the methods did so far, `answer` the last exit code, stdout and stderr."""

    def __init__(self, folder: Path, protocol_text: str) -> None:
        self.folder, self.runs = folder, folder / "runs"
        # The clip of an edit is longer than what the quick protocol holds out.
        short, long = "held_out_frames = 12\nguard_frames = 3", "held_out_frames = 26\nguard_frames = 5"
        assert short in protocol_text
        protocol = folder / "quick.toml"
        protocol.write_text(protocol_text.replace(short, long).replace("tail-12", "tail-26"))
        method = folder / "staged.py"
        method.write_text(METHOD)
        self.config = folder / "variants.toml"
        self.config.write_text(VARIANTS.replace("METHOD", f"{method}:Staged"))
        self._base = ["--actor", "dot", "--protocol", str(protocol), "--profile", "smoke", "--device", "cpu"]
        self.answer = (0, "", "")

    def __call__(self, *options: str, command: str = "ablate") -> tuple[int, str, str]:
        words = [command, *self._base, "--runs", str(self.runs)]
        words += ["--config", str(self.config)] if command == "ablate" else []
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([*words, *options])
        self.answer = (int(ended.value.code or 0), out.getvalue(), err.getvalue())
        return self.answer

    @property
    def trace(self) -> list[str]:
        return (self.folder / "trace.txt").read_text().split("\n")[:-1]

    @property
    def out(self) -> Path:
        return self.runs / "quick" / "dot" / "ablation" / "smoke-s0"

    def run_folder(self, settings: str = "") -> Path:
        return self.runs / "quick" / "dot" / f"staged{settings}" / "smoke-s0"


@pytest.fixture
def ablate(tmp_path: Path, actor: str, quick_protocol_text: str) -> Ablate:
    """Nothing run yet."""
    return Ablate(tmp_path, quick_protocol_text)


@pytest.fixture(scope="module")
def finished(actor_home: Path, quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ablate]:
    """All variants run; to be read only."""
    made = Ablate(tmp_path_factory.mktemp("finished"), quick_protocol_text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMO_BENCH_HOME", str(actor_home))
        patch.setenv("EMO_BENCH_OFFLINE", "1")
        made()
        assert made.answer[0] == 0, made.answer[2]
        yield made


def rows_of(data: dict[str, Any], table: str = "parts") -> dict[str, dict[str, Any]]:
    found = next(entry for entry in data["tables"] if entry["id"] == table)
    return {row["variant"]: row for row in found["rows"]}


def test_shared_stages_are_done_once(finished: Ablate) -> None:
    assert finished.trace == ["init 40", "fit 0", "edit 0", "fit 30", "fit -30", "init 10", "fit 0", "edit 1"], (
        "one init a start; variants of the edit and the same settings fit nothing"
    )
    taken = {
        settings: read_manifest(finished.run_folder(settings))["described"]["shared_stages"]
        for settings in ("", "+level=30", "+level=-30", "+start=10")
    }
    ours = {"init": "staged/smoke-s0"}
    assert taken == {"": {}, "+level=30": ours, "+level=-30": ours, "+start=10": {}}
    assert "stage init was taken over from `staged/smoke-s0`" in (finished.out / "ablation.md").read_text()
    told = rows_of(json.loads((finished.out / "ablation.json").read_text()))
    assert told["brighter"]["shared_stages"] == ours and told["other-start"]["shared_stages"] == {}
    assert "comes from the study's cache" in (finished.run_folder("+level=30") / "log.txt").read_text()
    edits = {path.name for path in (finished.run_folder() / "edit").iterdir()}
    assert edits == {"bronze-statue", "bronze-statue+level=1"}


def test_a_run_that_shares_nothing_has_the_same_frames(ablate: Ablate) -> None:
    ablate("--only", "brighter", "--skip-edit")
    shared = read_manifest(ablate.run_folder("+level=30"))
    assert ablate.trace == ["init 40", "fit 0", "fit 30"] and shared["described"]["shared_stages"]
    ablate.runs = ablate.folder / "alone"
    method = f"{ablate.folder / 'staged.py'}:Staged"
    ablate("--method", method, "--no-trivial", "--skip-edit", "--set", "level=30", command="run")
    assert ablate.trace[3:] == ["init 40", "fit 30"], "on its own it does the stage itself"
    own = read_manifest(ablate.run_folder("+level=30"))
    assert not own["described"]["shared_stages"]
    assert own["stages"]["render"]["frames_sha256"] == shared["stages"]["render"]["frames_sha256"]


def test_interrupted_the_same_command_goes_on(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOP_AT", "-30")
    code, _, err = ablate("--skip-edit")
    assert code == 130 and "goes on from here" in err
    assert ablate.trace == ["init 40", "fit 0", "fit 30"]
    assert "Brighter" in (ablate.out / "ablation.md").read_text(), "what is there can be read already"
    monkeypatch.delenv("STOP_AT")
    assert ablate("--skip-edit")[0] == 0
    assert ablate.trace == ["init 40", "fit 0", "fit 30", "fit -30", "init 10", "fit 0"]
    assert ablate("--skip-edit")[0] == 0
    assert len(ablate.trace) == 6, "finished, it does nothing again"


@pytest.mark.parametrize(
    ("option", "named"), [(("--style", "red-hair"), "--style"), (("--set", "edit.steps=3"), "--set edit.*")]
)
def test_without_edits_there_is_no_choice_of_edit(ablate: Ablate, option: tuple[str, str], named: str) -> None:
    code, _, err = ablate("--skip-edit", *option)
    assert (code, err.strip().splitlines()[-1]) == (2, f"emo-bench: --skip-edit and {named} exclude each other")
    assert not ablate.out.exists()


def test_differences_are_paired_means_and_say_which_is_better(finished: Ablate) -> None:
    rows = rows_of(json.loads((finished.out / "ablation.json").read_text()))
    ours, brighter = (load_run(finished.run_folder(s)).scores for s in ("", "+level=30"))
    measured = {m["metric"]: m for m in rows["brighter"]["metrics"]}
    assert set(measured) == {"psnr", "ssim", "sd"}
    gap = (brighter["psnr"] - ours["psnr"]).to_numpy()
    assert measured["psnr"]["delta"] == pytest.approx(gap.mean())
    assert measured["psnr"]["delta_ci95_low"] <= gap.mean() <= measured["psnr"]["delta_ci95_high"]
    assert measured["psnr"]["verdict"] == "better" and gap.min() > 0, "the disc's ground is bright"
    assert {m["metric"]: m["verdict"] for m in rows["darker"]["metrics"]}["psnr"] == "worse"
    flat = measured["sd"]
    assert flat["verdict"] == "undecided" and flat["delta"] == 0, "flat frames, whatever their level"
    assert "delta" not in rows["ours"]["metrics"][0]
    assert rows["brighter"]["seconds"] == {"init": 2.0, "render_stage": 3.0, "stage_1": 5.0}


def test_what_cannot_run_is_a_row_with_the_reason(finished: Ablate) -> None:
    _, out, _ = finished.answer
    rows = rows_of(json.loads((finished.out / "ablation.json").read_text()))
    lacking = "this variant lacks a part"
    assert rows["broken"]["missing"] == {"run": lacking, "edit": lacking}
    lacking_picture = "reference nowhere.png is not a file: give a picture with --reference"
    assert rows["no-model"]["missing"] == {"edit": lacking_picture}
    assert rows["no-model"]["metrics"], "its fit is that of Ours"
    assert rows["other-edit"]["missing"] == {}
    text = (finished.out / "ablation.md").read_text()
    assert "| Broken | n/a |" in text and f"Broken: no run: {lacking}." in text
    assert "reference nowhere.png is not a file" in out and "SMOKE" in out
    table = pd.read_csv(finished.out / "ablation.csv")
    assert table[table["variant"] == "broken"]["reason"].unique().tolist() == [lacking]
    edits = table[(table["part"] == "edit") & (table["variant"] == "other-edit")]
    assert set(edits["metric"]) >= {"flmd", "sd"}


def test_pages_are_whole(finished: Ablate) -> None:
    _, out, _ = finished.answer
    text = (finished.out / "ablation.md").read_text()
    for block in (block.splitlines() for block in text.split("\n\n")):
        if block[0].startswith("| "):
            assert len({line.replace("\\|", "").count("|") for line in block}) == 1
    assert "| Ours, whole |" in text and "| The same | the same run |" in text
    command = next(line for line in text.splitlines() if line.startswith("Made with"))
    assert "--actor dot" in command and "--seed 0" in command
    assert (finished.out / "ablation.md").as_posix() in out
    for name, rows in (("figure-3", 2), ("figure-6", 3)):
        assert f"]({name}.png)" in text
        with Image.open(finished.out / f"{name}.png") as picture:
            assert picture.height >= rows * 128


def test_only_some_variants_and_the_reference_are_run(ablate: Ablate) -> None:
    code, out, _ = ablate("--only", "darker", "--json", "--skip-edit")
    assert code == 0
    data = json.loads(out)
    assert set(rows_of(data)) == {"ours", "darker"}
    assert [table["id"] for table in data["tables"]] == ["parts"]
    assert ablate.trace == ["init 40", "fit 0", "fit -30"]
    assert data["figures"] == []


def test_settings_and_seed_reach_all_variants(ablate: Ablate) -> None:
    ablate("--only", "brighter", "--set", "start=20", "--seed", "3", "--skip-edit")
    assert ablate.trace == ["init 20", "fit 0", "fit 30"]
    assert (ablate.runs / "quick" / "dot" / "staged+level=30,start=20" / "smoke-s3").is_dir()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "briter"], "did you mean brighter?"),
        (["--set", "broken=1"], "this variant lacks a part"),
        (["--style", "nothing"], "there is no style 'nothing'"),
        (["--config", "none.toml"], "none.toml cannot be read: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(ablate: Ablate, options: list[str], message: str) -> None:
    code, _, err = ablate(*options)
    assert code == 2
    assert message in err.splitlines()[-1]


def test_variants_are_listed_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ablate", "--list"])
    out = capsys.readouterr().out
    assert not ended.value.code
    assert "freeze_stylegan=false" in out and "unaligned-inv" in out


def test_side_views_are_the_furthest_turned_and_apart() -> None:
    yaw = np.r_[np.linspace(-30, 30, 61), np.nan, 45.0]
    chosen = side_views(yaw, count=2)
    assert chosen == sorted(chosen, key=lambda i: yaw[i]) and len(set(chosen)) == 4
    assert yaw[chosen[0]] == -30 and yaw[chosen[-1]] == 45
    assert min(abs(a - b) for a in chosen for b in chosen if a != b) >= len(yaw) // 8
    assert all(np.isfinite(yaw[i]) for i in chosen)


def test_a_figure_shows_the_pictures_in_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (128, 128, 3), dtype=np.uint8) for _ in range(4)]
    save_strips(tmp_path / "f.png", [Strip("a", pictures[:2]), Strip("b", pictures[2:])], ["-30°", "+30°"])
    with Image.open(tmp_path / "f.png") as figure:
        pixels = np.asarray(figure)
    height, width = pixels.shape[:2]
    left, top = width - 256, height - 2 * 132
    np.testing.assert_array_equal(pixels[top : top + 128, left : left + 128], pictures[0])
    np.testing.assert_array_equal(pixels[top + 132 : top + 260, left + 128 :], pictures[3])
    assert (pixels[top : top + 128, :left] < 100).any(), "the label"
