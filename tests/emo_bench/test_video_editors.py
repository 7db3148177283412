"""Video editors as methods: runs of edits, what a wrong editor is told, resume, the kind of each row, refusals."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import emo_bench
from emo_bench import actors
from emo_bench.cli import main
from emo_bench.errors import MethodError, UserError
from emo_bench.methods.contract.checks import check_method
from emo_bench.methods.kept_frames import edit_in_batches
from emo_bench.runs.editing import open_method
from emo_bench.runs.finished import load_run
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from reports.reproduction import command
from reports.rows import Row
from reports.tables import read_groups

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-method.md"
TEST = range(138, 150)
VARIANTS = """

import numpy as np
from pathlib import Path
from emo_bench.methods.kept_frames import edit_in_batches
from emo_bench.methods.interface import Method

class Own(Invert):
    def __init_subclass__(cls):
        cls.info = MethodInfo(cls.__name__.lower(), cls.__name__, "", "MIT", frozenset({"edit"}), (), "a test")

class TooFew(Own):
    def edit(self, clip, style):
        yield from list(super().edit(clip, style))[1:]

class TooMany(Own):
    def edit(self, clip, style):
        yield from [*super().edit(clip, style), 255 - clip.frames[0]]

class Small(Own):
    def edit(self, clip, style):
        return (frame[::2, ::2] for frame in clip.frames)

class Floats(Own):
    def edit(self, clip, style):
        return (frame / 255 for frame in clip.frames)

class Nothing(Own):
    def edit(self, clip, style):
        pass

class Writes(Own):
    def edit(self, clip, style):
        clip.frames[0] = 0
        yield from clip.frames

class Chance(Own):
    def edit(self, clip, style):
        import os
        salt = np.frombuffer(os.urandom(1), np.uint8)[0]
        return (frame ^ (salt | 1) for frame in clip.frames)

class Peeks(Own):
    def edit(self, clip, style):
        from emo_bench import actors
        other = next(actors.load("dot").frames([3], self.resolution_px))
        return (frame // 2 + other // 2 for frame in clip.frames)

class Picky(Own):
    def require_editable(self, style):
        if style.name == "van-gogh":
            raise UserError("picky paints no van-gogh: choose another style")

class Interrupted(Own):
    def edit(self, clip, style):
        def inverted(frames, first):
            log = Path(__file__).with_name("edited.txt")
            with log.open("a") as file:
                file.write(f"{first} ")
            stop = Path(__file__).with_name("stop")
            if first >= 5 and stop.exists():
                stop.unlink()
                raise KeyboardInterrupt
            return 255 - frames
        yield from edit_in_batches(clip.frames, inverted, self.workspace.folder, batch=5)

class Reads(Own):
    reads_editor_settings = True

class Slow(Own):
    def edit(self, clip, style):
        import time
        (self.workspace.folder / "begun").mkdir()
        time.sleep(2.0)
        yield from super().edit(clip, style)

class Avatar(Method):
    info = MethodInfo("avatar", "Avatar", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 128

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...

    def render(self, capture, indices):
        for i in indices:
            yield np.full((128, 128, 3), 100, np.uint8)

    def edit(self, style, workspace):
        return type(self)(workspace)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The example of docs/add-a-method.md, with editors and an avatar made from it behind it."""
    code = re.findall(r"```python\n(# invert\.py.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "invert.py"
    path.write_text(code[0] + VARIANTS)
    return path


@pytest.fixture
def editing(tmp_path: Path, quick_protocol_text: str) -> str:
    """A mini protocol of edits whose metrics need no network."""
    path = tmp_path / "quick-editing.toml"
    text = quick_protocol_text.replace("self-reenactment", "editing").replace('"quick"', '"quick-editing"')
    path.write_text(text.replace('["psnr", "ssim", "sd"]', '["psnr", "sd"]'))
    return str(path)


@pytest.fixture
def run(actor: str, editing: str, file: Path, tmp_path: Path) -> Any:
    def start(cls: str = "Invert", **changes: Any) -> Any:
        arguments = {"protocol": editing, "profile": "smoke", "runs": tmp_path / "runs", "device": "cpu"}
        return emo_bench.run(f"{file}:{cls}", actor, **{**arguments, **changes})

    return start


@pytest.fixture
def recorded(actor: str) -> np.ndarray:
    return np.stack(list(actors.load(actor).frames(TEST, size=128)))


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_example_of_the_page_edits_the_recorded_clip(run: Any, recorded: np.ndarray, tmp_path: Path) -> None:
    made = run(style="bronze-statue")
    assert made.path == tmp_path / "runs" / "quick-editing" / "dot" / "invert+style=bronze-statue" / "smoke-s0"
    np.testing.assert_array_equal(np.stack(list(read_lossless(made.path / "render.mkv"))), 255 - recorded)
    assert {"run.json", "frames.parquet", "render.mkv", "preview.mp4", "log.txt", "report.md"} <= {
        path.name for path in made.path.iterdir()
    }
    assert made.manifest["kind"] == "video editor"
    assert made.manifest["split"]["train"] == "" and made.manifest["stages"]["fit"]["frames"] == 0
    assert made.manifest["identity"]["style"]["target_caption"] == "a bronze statue of a person"
    assert made.trivial == () and [edit.path for edit in made.edited] == [made.path]
    assert list(made.scores.index) == list(TEST)


def test_a_style_whose_settings_the_editor_does_not_use_is_told(run: Any) -> None:
    """bronze-statue has a palette of style transfer, and an editor that reads the words alone makes another bronze."""
    told = "does not use the settings of the style's editor styletransfer"
    made = run(style="bronze-statue")
    assert any(told in flag for flag in made.manifest["flags"])
    assert told in (made.path / "report.md").read_text()
    assert not any(told in flag for flag in run(style="smiling").manifest["flags"]), "this style has no settings"
    assert not any(told in flag for flag in run("Reads", style="bronze-statue").manifest["flags"])


def test_the_recorded_frames_are_a_method(actor: str, editing: str, recorded: np.ndarray, tmp_path: Path) -> None:
    made = emo_bench.run(
        "recorded", actor, protocol=editing, profile="smoke", style="smiling", runs=tmp_path / "runs", device="cpu",
        settings={"resolution_px": 128},
    )  # fmt: skip
    np.testing.assert_array_equal(np.stack(list(read_lossless(made.path / "render.mkv"))), recorded)
    assert made.manifest["kind"] == "video editor" and Row(load_run(made.path)).unedited


def test_each_style_is_a_run_and_a_style_given_twice_is_refused(run: Any, tmp_path: Path) -> None:
    made = run(style=["bronze-statue", "oil-painting"])
    assert [edit.manifest["identity"]["style"]["name"] for edit in made.edited] == ["bronze-statue", "oil-painting"]
    assert made.folders == [edit.path for edit in made.edited]
    report = (made.path / "report.md").read_text()
    assert "dot, bronze-statue" in report and "dot, oil-painting" in report
    with pytest.raises(UserError, match="van-gogh is given twice"):
        run(style=["van-gogh", "pastel", "van-gogh"])
    assert not list(tmp_path.glob("runs/*/*/*pastel*"))


def test_a_style_that_the_editor_refuses_is_refused_before_any_work(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="picky paints no van-gogh"):
        run("Picky", style=["bronze-statue", "van-gogh"])
    assert not (tmp_path / "runs").exists()


def test_several_styles_of_an_avatar_are_edits_of_one_run(run: Any) -> None:
    made = run("Avatar", protocol=None, style=["bronze-statue", "pastel"], trivial=False)
    assert [edit.path.relative_to(made.path).as_posix() for edit in made.edited] == [
        "edit/bronze-statue",
        "edit/pastel",
    ]
    assert made.edit is not None and made.edit.path == made.edited[0].path
    assert made.edit.manifest["kind"] == made.manifest["kind"] == "avatar"
    assert set(made.edits) == {"bronze-statue", "pastel"}


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        ("TooFew", "method toofew rendered 11 frames; 12 were asked for"),
        ("TooMany", "method toomany rendered more than the 12 frames that were asked for"),
        ("Small", r"method small rendered uint8 \(64, 64, 3\); it promised uint8 \(128, 128, 3\)"),
        ("Floats", r"method floats rendered float64 \(128, 128, 3\)"),
        ("Nothing", "method nothing: render gives NoneType"),
        ("Writes", "method writes: .*read-only"),
    ],
)
def test_wrong_frames_are_one_line(run: Any, cls: str, message: str) -> None:
    with pytest.raises(MethodError, match=message) as caught:
        run(cls, style="bronze-statue")
    assert "\n" not in str(caught.value)


def test_a_killed_edit_goes_on_with_the_frames_that_are_there(run: Any, file: Path, tmp_path: Path) -> None:
    file.with_name("stop").touch()
    with pytest.raises(KeyboardInterrupt):
        run("Interrupted", style="bronze-statue")
    resumed = run("Interrupted", style="bronze-statue")
    assert file.with_name("edited.txt").read_text() == "0 5 5 10 "
    fresh = run("Interrupted", style="bronze-statue", runs=tmp_path / "fresh")
    digests = [made.manifest["stages"]["render"]["frames_sha256"] for made in (resumed, fresh)]
    assert digests[0] == digests[1]
    assert not (resumed.path / "edited").exists()
    assert resumed.manifest["stages"]["render"]["attempts"] == 2


def test_a_damaged_kept_batch_is_edited_again(tmp_path: Path) -> None:
    frames = np.arange(6 * 32 * 32 * 3).reshape(6, 32, 32, 3).astype(np.uint8)
    edited = []

    def invert(part: np.ndarray, first: int) -> np.ndarray:
        edited.append(first)
        return 255 - part

    begun = edit_in_batches(frames, invert, tmp_path, batch=4)
    next(begun)
    (kept,) = (tmp_path / "edited").iterdir()
    kept.write_bytes(kept.read_bytes()[:500])
    np.testing.assert_array_equal(np.stack(list(edit_in_batches(frames, invert, tmp_path, batch=4))), 255 - frames)
    assert edited == [0, 0, 4]
    assert not list(tmp_path.iterdir())


def test_avatar_and_video_editor_and_given_frames_are_ranked_together_and_marked(
    actor: str, run: Any, editing: str, recorded: np.ndarray, tmp_path: Path
) -> None:
    avatar = run("Avatar", protocol=None, style="bronze-statue", trivial=False)
    editor = run(protocol=None, style="bronze-statue")
    groups, _ = read_groups([avatar.edit.path, editor.path])
    (group,) = groups
    ((first, ranks), (_, others)) = group.ranked[0]
    assert [row.kind for row in group.rows] == ["avatar", "video editor"] and first.kind == "avatar"
    assert {ranks["sd"], others["sd"]} == {1, 2}

    (tmp_path / "made").mkdir()
    for number, frame in zip(TEST, recorded, strict=True):
        Image.fromarray(frame).save(tmp_path / "made" / f"{number}.png")
    given = emo_bench.file_frames(
        tmp_path / "made", "elsewhere", actor, protocol=editing, source_prompt="a photo", prompt="a statue",
        runs=tmp_path / "runs",
    )  # fmt: skip
    assert given.manifest["kind"] == "given frames"
    report = emo_bench.report(tmp_path / "runs", tmp_path / "report", videos=False)
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert re.search(r"\| dot, bronze-statue \| Inverted colours \| video editor \|", markdown)
    assert re.search(r"\| dot, bronze-statue \| Avatar \| avatar \|", markdown)
    assert "Kinds: an avatar renders from the track; a video editor edits the recorded video." in markdown
    with (tmp_path / "report" / "report.csv").open(encoding="utf-8") as table:
        kinds = {(line["method"], line["kind"]) for line in csv.DictReader(table)}
    assert kinds == {("avatar", "avatar"), ("invert", "video editor"), ("elsewhere", "given frames")}
    page = report.path.read_text()
    assert '<th scope="col">Kind</th>' in page and "<td>video editor</td>" in page and "<td>given frames</td>" in page
    assert "video editor" in (tmp_path / "report" / "report.tex").read_text()


def test_the_command_of_a_row_makes_it_again(run: Any) -> None:
    words = command(Row(load_run(run(style="oil-painting").path)))
    assert "--style oil-painting" in words and "--split tail-12" in words
    assert "--skip-edit" not in words


def test_verify_edits_the_whole_clip_again(run: Any) -> None:
    found = {
        check.what: check for check in verify(run(style="pastel").path, Verification(render=True, trust=True)).checks
    }
    assert {check.state for check in found.values()} == {"same"}
    assert found["render again"].detail == "equal in every pixel"
    found = {
        check.what: check
        for check in verify(run("Chance", style="pastel").path, Verification(render=True, trust=True)).checks
    }
    assert found["render again"].state == "differs"


def test_an_edit_cannot_be_driven_or_edited(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(style="pastel")
    capsys.readouterr()
    with pytest.raises(UserError, match="there is no avatar here that could be edited or driven"):
        open_method(made.path)
    assert call("drive", str(made.path), "--by", "dot") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    with pytest.raises(UserError, match="there is no avatar here"):
        emo_bench.edit(made.path, style="bronze-statue")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip_edit": True}, "leave out --skip-edit"),
        ({"settings": {"edit.steps": 3}}, "--set steps=3"),
        ({"protocol": "self_reenactment-mini"}, "scores no edit: leave out --protocol"),
    ],
)
def test_options_of_an_avatar_are_refused(run: Any, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run(**options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_picture_of_one_frame_is_refused(run: Any, recorded: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(recorded[0]).save(tmp_path / "mine.png")
    with pytest.raises(UserError, match="instead of --reference"):
        run(reference=tmp_path / "mine.png", source_prompt="a man", prompt="a clay man")


def test_an_ablation_of_a_video_editor_is_refused(
    actor: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.toml"
    text = (PAGE.parents[1] / "protocols" / "ablation.toml").read_text()
    config.write_text(re.sub(r'^method = ".*"$', f'method = "{file}:Invert"', text, flags=re.MULTILINE))
    assert call("ablate", "--actor", actor, "--config", str(config), "--runs", str(tmp_path / "runs")) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "invert edits recorded videos and fits no avatar" in line


def test_the_kind_is_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("methods", "list") == 0
    assert re.search(r"instruct-pix2pix +video editor +baselines", capsys.readouterr().out)
    assert call("methods", "show", f"{file}:Invert") == 0
    assert re.search(r"kind +video editor \(a video editor edits the recorded video\)", capsys.readouterr().out)


def test_the_contract_passes_the_example(actor: str, file: Path) -> None:
    found = {check.name: check for check in check_method(f"{file}:Invert", actor)}
    assert all(check.ok is not False for check in found.values())
    assert found["pictures outside the clip absent, same frames"].ok is True


@pytest.mark.parametrize(
    ("cls", "failed"),
    [
        ("Chance", "same seed, same frames"),
        ("Peeks", "pictures outside the clip absent, same frames"),
        ("Slow", "killed in the edit, it goes on to the same frames"),
        ("Small", "frames: count, shape, dtype, range"),
        ("Writes", "frames: count, shape, dtype, range"),
    ],
)
def test_the_contract_finds(actor: str, file: Path, cls: str, failed: str) -> None:
    found = list(check_method(f"{file}:{cls}", actor))
    assert [check.name for check in found if check.ok is False] == [failed], found
