"""Clips that memory cannot hold: windows, the note in the report, and resuming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import emo_bench
from emo_bench.methods.clip_method import clip_method_class
from emo_bench.methods.interface import Clip, EditStyle, MethodInfo, VideoEditor, Workspace
from emo_bench.runs.finished import load_run

STYLE = EditStyle("dark", "a photo", "a dark photo", "make it dark", "file")
EDITOR = """
from emo_bench.methods.interface import MethodInfo, VideoEditor

class Fade(VideoEditor):
    info = MethodInfo("fade", "Fade", "", "MIT", frozenset({"edit"}), (), "a test")
    resolution_px = 32
    window_frames = 5

    @classmethod
    def profiles(cls):
        return ("smoke", "cpu")

    def edit(self, clip, style):
        for number, frame in enumerate(clip.frames):
            yield frame // (1 + number)
"""


class Fade(VideoEditor):
    """Each frame is darker than the one before it, so that one sees where a clip begins."""

    info: ClassVar[MethodInfo] = MethodInfo("fade", "Fade", "", "MIT", frozenset({"edit"}), (), "a test")
    resolution_px = 32
    window_frames = 5
    edited: ClassVar[list[int]] = []

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        return ("smoke", "cpu")

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[np.ndarray]:
        assert not clip.frames.flags.writeable and clip.fps == 25.0
        self.edited.append(len(clip.frames))
        for number, frame in enumerate(clip.frames):
            yield frame // (1 + number)


class Recorded:
    """Stands in for a capture: frame ``i`` is grey ``200 + i``."""

    fps = 25

    def frames(self, indices: list[int], size: int) -> Iterator[np.ndarray]:
        return (np.full((size, size, 3), 200 + index, np.uint8) for index in indices)


def opened(folder: Path, style: EditStyle = STYLE) -> Any:
    Fade.edited.clear()
    folder.mkdir(exist_ok=True)
    workspace = Workspace(folder, "smoke", 0)
    return clip_method_class(Fade)(workspace).edit(style, workspace)


def levels(frames: Any) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


@pytest.mark.parametrize(("count", "sizes"), [(5, [5]), (6, [3, 3]), (12, [4, 4, 4]), (13, [5, 5, 3])])
def test_a_long_clip_is_edited_in_windows_of_nearly_equal_length(count: int, sizes: list[int], tmp_path: Path) -> None:
    method = opened(tmp_path / "run")
    assert "flags" not in method.describe()
    found = levels(method.render(Recorded(), range(count)))
    assert Fade.edited == sizes
    numbers = [number for size in sizes for number in range(size)]
    assert found == [(200 + index) // (1 + number) for index, number in enumerate(numbers)]
    told = " ".join(method.describe().get("flags", []))
    assert (told == "") == (len(sizes) == 1)
    assert not told or told.startswith(f"Fade edits the {count} frames in {len(sizes)} windows")
    assert not list((tmp_path / "run").iterdir())


def test_a_killed_edit_goes_on_with_the_first_window_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = levels(opened(tmp_path / "whole").render(Recorded(), range(12)))
    method = opened(tmp_path / "cut")
    plain = Fade.edit

    def failing(self: Fade, clip: Clip, style: EditStyle) -> Iterator[np.ndarray]:
        if len(self.edited) == 2:
            raise KeyboardInterrupt
        return plain(self, clip, style)

    with monkeypatch.context() as patched:
        patched.setattr(Fade, "edit", failing)
        with pytest.raises(KeyboardInterrupt):
            list(method.render(Recorded(), range(12)))
    second = opened(tmp_path / "cut")
    assert levels(second.render(Recorded(), range(12))) == whole
    assert Fade.edited == [4]
    assert not list((tmp_path / "cut").iterdir())


def test_a_kill_after_the_last_window_loses_none(tmp_path: Path) -> None:
    begun = opened(tmp_path / "run").render(Recorded(), range(12))
    next(begun)
    begun.close()
    second = opened(tmp_path / "run")
    assert len(list(second.render(Recorded(), range(12)))) == 12
    assert Fade.edited == []


def test_the_report_says_that_a_clip_went_in_windows(actor: str, protocol_file: str, tmp_path: Path) -> None:
    protocol = Path(protocol_file)
    text = protocol.read_text(encoding="utf-8").replace("self-reenactment", "editing").replace('"psnr", "ssim", ', "")
    protocol.write_text(text, encoding="utf-8")
    (tmp_path / "fade.py").write_text(EDITOR, encoding="utf-8")
    emo_bench.run(
        f"{tmp_path / 'fade.py'}:Fade", actor, profile="smoke", protocol=protocol_file, style="oil-painting",
        runs=tmp_path / "runs", device="cpu",
    )  # fmt: skip
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("run.json"))
    assert any("edits the 12 frames in 3 windows" in flag for flag in load_run(folder).manifest["flags"])
    assert "edits the 12 frames in 3 windows" in (folder / "report.md").read_text(encoding="utf-8")
