"""Frames made anywhere become a run; what does not fit the split is one line and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from emo_bench import actors
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.runs.finished import load_run
from emo_bench.runs.given_frames import GivenRequest, file_frames
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import write_lossless
from reports.reproduction import command
from reports.rows import Row

TEST = range(138, 150)


@pytest.fixture
def answer() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in TEST]


@pytest.fixture
def file(actor: str, protocol_file: str, tmp_path: Path) -> Any:
    def start(frames: Path, **changes: Any) -> Path:
        request = {"name": "elsewhere", "actor": actor, "protocol": protocol_file, "runs_dir": tmp_path / "runs"}
        return file_frames(GivenRequest(frames, **{**request, "device": "cpu", **changes}), trivial=False).run

    return start


def write(folder: Path, frames: list[np.ndarray], numbers: Any) -> Path:
    folder.mkdir()
    for number, frame in zip(numbers, frames, strict=True):
        Image.fromarray(frame).save(folder / f"frame_{number}.png")
    return folder


@pytest.mark.parametrize("numbers", [TEST, range(12), range(1, 13)])
def test_the_scores_are_those_of_the_frames(
    file: Any, answer: list[np.ndarray], tmp_path: Path, numbers: range
) -> None:
    run = load_run(file(write(tmp_path / "made", answer, numbers)))
    truth = actors.load("dot").frames(TEST)
    expected = [peak_signal_noise_ratio(t, a) for t, a in zip(truth, answer, strict=True)]
    np.testing.assert_allclose(run.scores["psnr"], expected, rtol=1e-9)
    assert run.scores.index.tolist() == list(TEST)
    assert run.manifest["identity"]["method"] == "elsewhere"


def test_filed_frames_are_scored_again_and_cannot_be_rendered(
    file: Any, answer: list[np.ndarray], tmp_path: Path
) -> None:
    run = file(write(tmp_path / "made", answer, TEST))
    found = {check.what: check for check in verify(run, Verification(render=True)).checks}
    assert {name for name, check in found.items() if check.state != "same"} == {"render again"}
    assert (found["render again"].state, found["psnr"].difference) == ("n/a", 0.0)
    assert "frames made elsewhere" in found["render again"].detail


def test_a_video_is_taken_by_position_and_other_frames_are_another_run(
    file: Any, answer: list[np.ndarray], tmp_path: Path
) -> None:
    write_lossless(tmp_path / "made.mkv", answer)
    assert load_run(file(tmp_path / "made.mkv")).scores["psnr"].notna().all()
    write_lossless(tmp_path / "made.mkv", answer[::-1])
    with pytest.raises(UserError, match=r"another config\.frames_sha256"):
        file(tmp_path / "made.mkv")


def test_a_run_of_a_damaged_video_says_so(file: Any, answer: list[np.ndarray], tmp_path: Path) -> None:
    write_lossless(tmp_path / "made.mkv", answer)
    content = bytearray((tmp_path / "made.mkv").read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "made.mkv").write_bytes(content)
    flags = load_run(file(tmp_path / "made.mkv")).manifest["flags"]
    assert sum("filled in parts of 1 of its 12 frames" in flag for flag in flags) == 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (range(11), "has 11 frames; 12 were asked for"),
        (range(13), "has 13 frames; 12 were asked for"),
        ([*range(138, 149), 7], "not those; lacking: 149"),
        ([*"abcdefghijkl"], "has no number"),
    ],
)
def test_frames_that_do_not_fit_the_split_leave_nothing_behind(
    file: Any, answer: list[np.ndarray], tmp_path: Path, numbers: Any, message: str
) -> None:
    frames = (answer + answer)[: len(list(numbers))]
    with pytest.raises(UserError, match=message):
        file(write(tmp_path / "made", frames, numbers))
    assert not (tmp_path / "runs").exists()


def test_frames_of_two_sizes_or_not_square_are_refused(file: Any, answer: list[np.ndarray], tmp_path: Path) -> None:
    mixed = [*answer[:-1], answer[-1][:32, :32]]
    with pytest.raises(UserError, match="is 32x32 px, not 64x64"):
        file(write(tmp_path / "mixed", mixed, TEST))
    with pytest.raises(UserError, match="is 64x48 px"):
        file(write(tmp_path / "wide", [frame[:48] for frame in answer], TEST))


@pytest.mark.parametrize("size_px", [1, 4, 8, 16, 31])
def test_frames_that_are_too_small_to_score_leave_nothing_behind(
    file: Any, answer: list[np.ndarray], tmp_path: Path, size_px: int
) -> None:
    made = write(tmp_path / "made", [frame[:size_px, :size_px] for frame in answer], TEST)
    with pytest.raises(UserError, match=f"{size_px}x{size_px} px; metrics need 32 px or more"):
        file(made)
    assert not (tmp_path / "runs").exists()


def test_the_smallest_frames_can_be_scored(
    file: Any, answer: list[np.ndarray], tmp_path: Path, quick_protocol_text: str
) -> None:
    protocol = tmp_path / "quick.toml"
    protocol.write_text(quick_protocol_text.replace('"sd"]', '"sd", "lpips"]'))
    made = write(tmp_path / "made", [frame[:32, :32] for frame in answer], TEST)
    assert load_run(file(made, protocol=str(protocol))).scores.iloc[:, 3].notna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "emo-avatar"}, "is the name of a method of this toolkit"),
        ({"name": "My Method"}, "cannot name a method"),
        ({"target_caption": "a statue"}, "two captions"),
        ({"target_caption": "a statue", "source_caption": "a man"}, "scores no edit"),
        ({"protocol": "editing-mini"}, "scores an edit"),
        ({"device": "foo"}, "no device 'foo'"),
        ({"clip": "ViT-B-32"}, "has no CLIP scores"),
    ],
)
def test_a_wrong_request_is_one_line(
    file: Any, answer: list[np.ndarray], tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        file(write(tmp_path / "made", answer, TEST), **changes)
    assert not (tmp_path / "runs").exists()


def test_an_edit_is_filed_with_its_captions(
    file: Any, answer: list[np.ndarray], tmp_path: Path, quick_protocol_text: str
) -> None:
    protocol = tmp_path / "quick-edit.toml"
    text = quick_protocol_text.replace('"quick"', '"quick-edit"').replace('"self-reenactment"', '"editing"')
    protocol.write_text(text)
    folder = file(
        write(tmp_path / "made", answer, TEST),
        protocol=str(protocol),
        source_caption="a man",
        target_caption="A bronze man!",
    )
    style = load_run(folder).manifest["identity"]["style"]
    assert (style["name"], style["target_caption"]) == ("a-bronze-man", "A bronze man!")


def test_an_edit_is_scored_by_the_clip_that_was_asked_for(
    file: Any, answer: list[np.ndarray], tmp_path: Path, quick_protocol_text: str
) -> None:
    protocol = tmp_path / "quick-edit.toml"
    text = quick_protocol_text.replace('"quick"', '"quick-edit"').replace('"self-reenactment"', '"editing"')
    protocol.write_text(text.replace('"sd"]', '"clip_d"]'))
    edit = {"protocol": str(protocol), "source_caption": "a man", "target_caption": "a bronze man"}
    made = write(tmp_path / "made", answer, TEST)
    with pytest.raises(UserError, match="CLIP"):
        file(made, **edit, clip="nonsense")
    long = {**edit, "target_caption": "a bronze statue of a man " * 8}
    with pytest.raises(UserError, match="tokens, and the CLIP model portraits reads 32: shorten the caption"):
        file(made, **long, clip="portraits")
    assert not (tmp_path / "runs").exists()
    run = load_run(file(made, **edit, clip="portraits"))
    score = run.manifest["stages"]["score"]
    assert command(Row(run)).endswith(" --clip portraits")
    assert score["inputs"]["clip"] == "portraits"
    assert "portraits" in score["records"]["clip_d"]["backend"]["name"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--actor", "dot", "--name", "elsewhere", "--detector", "dlib"], "--detector: runs are scored with"),
        (["--reference", "truth.mp4", "--runs", "kept"], "--runs: needs --actor"),
        (["--reference", "truth.mp4", "--no-trivial"], "--trivial/--no-trivial: needs --actor"),
        (["--reference", "truth.mp4", "--trivial"], "--trivial/--no-trivial: needs --actor"),
        (["--device", "foo"], "there is no device 'foo'"),
    ],
)
def test_an_option_without_effect_is_refused(
    actor: str,
    answer: list[np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    made = write(tmp_path / "made", answer, TEST)
    with pytest.raises(SystemExit) as ended:
        main(["score", str(made), *options])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and error.count("\n") == 1


def test_the_command_files_a_run_and_the_report_shows_it(
    actor: str, protocol_file: str, answer: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write(tmp_path / "made", answer, TEST)
    words = ["score", "--frames", str(made), "--actor", actor, "--protocol", protocol_file]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "--name" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*words, "--name", "elsewhere", "--runs", str(tmp_path / "runs"), "--device", "cpu"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "elsewhere" in out and "Mean frame" in out
    report = next((tmp_path / "runs").rglob("report.md")).read_text()
    assert "elsewhere" in report
