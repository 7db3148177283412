"""Frames from folders and videos: order, names, and what does not go together."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emo_bench.errors import UserError
from emo_bench.video.frame_source import in_batches, match, natural_order, open_frames
from emo_bench.video.lossless import write_lossless
from emo_bench.video.numbered_frames import open_numbered


def write_folder(folder: Path, names: list[str], level: int = 0) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), level + number, dtype=np.uint8)).save(folder / name)
    return folder


def test_a_folder_is_read_in_natural_order_with_its_names(tmp_path: Path) -> None:
    source = open_frames(write_folder(tmp_path / "a", ["f10.png", "f9.png", "f1.png"]))
    assert source.names == ("f1", "f9", "f10")
    assert [int(frame[0, 0, 0]) for frame in source.open()] == [2, 1, 0]
    assert [int(frame[0, 0, 0]) for frame in source.open()] == [2, 1, 0]
    assert sorted(["b2", "b10", "a"], key=natural_order) == ["a", "b2", "b10"]


def test_a_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), 10 * k, dtype=np.uint8) for k in range(5)]
    write_lossless(tmp_path / "v.mkv", frames)
    source = open_frames(tmp_path / "v.mkv")
    assert source.names == (0, 1, 2, 3, 4)
    np.testing.assert_array_equal(np.stack(list(source.open())), np.stack(frames))


def test_alpha_lies_on_black_grey_becomes_colour_and_deep_pictures_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    rgba = np.full((4, 4, 4), 200, dtype=np.uint8)
    rgba[:2, :, 3] = 0
    rgba[2:, :, 3] = 255
    Image.fromarray(rgba).save(folder / "1.png")
    Image.fromarray(np.full((4, 4), 77, dtype=np.uint8)).save(folder / "2.png")
    first, second = open_frames(folder).open()
    assert first[0].max() == 0 and first[3].min() == 200
    assert (second == 77).all() and second.shape == (4, 4, 3)
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(folder / "3.png")
    with pytest.raises(UserError, match="8 bits"):
        list(open_frames(folder).open())


def test_folders_are_matched_by_name_and_others_by_number(tmp_path: Path) -> None:
    frames = open_frames(write_folder(tmp_path / "a", ["x1.png", "x2.png"]))
    same = open_frames(write_folder(tmp_path / "b", ["x2.jpg", "x1.jpg"]))
    assert match(same, frames).names == frames.names
    fewer = open_frames(write_folder(tmp_path / "c", ["x1.png"]))
    with pytest.raises(UserError, match=r"lacks 1 frames .*x2"):
        match(fewer, frames)
    with pytest.raises(UserError, match=r"lacks 1 frames .*x2"):
        match(frames, fewer)
    write_lossless(tmp_path / "v.mkv", [np.zeros((8, 8, 3), dtype=np.uint8)] * 3)
    with pytest.raises(UserError, match=r"2 frames and .* 3"):
        match(open_frames(tmp_path / "v.mkv"), frames)


def test_batches_walk_together(tmp_path: Path) -> None:
    frames = open_frames(write_folder(tmp_path / "a", [f"{k}.png" for k in range(5)]))
    reference = open_frames(write_folder(tmp_path / "b", [f"{k}.png" for k in range(5)], level=100))
    seen = list(in_batches([frames, reference, None], 2))
    assert [names for names, _ in seen] == [("0", "1"), ("2", "3"), ("4",)]
    levels = [[int(f[0, 0, 0]) for f in parts[1] or ()] for _, parts in seen]
    assert levels == [[100, 101], [102, 103], [104]]
    assert all(parts[2] is None for _, parts in seen)


@pytest.mark.parametrize("what", ["empty folder", "twice", "no file", "no picture"])
def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "a"
    if what == "empty folder":
        folder.mkdir()
    elif what == "twice":
        write_folder(folder, ["1.png", "1.bmp"])
    elif what == "no picture":
        folder.mkdir()
        (folder / "1.png").write_bytes(b"not a picture")
    with pytest.raises(UserError) as caught:
        list(open_frames(folder).open())
    assert "\n" not in str(caught.value)


def test_many_names_are_matched_in_linear_time(tmp_path: Path) -> None:
    """24,000 names took 51 s; the wrong ones, each looked up, too."""
    count = 24_000
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").touch()
    began = time.process_time()
    match(open_frames(folder), open_frames(folder))
    open_numbered(folder, range(count))
    with pytest.raises(UserError, match=r"lacking: 24001, 24003"):
        open_numbered(folder, range(1, 2 * count + 9, 2))
    assert time.process_time() - began < 10


def test_one_picture_is_a_series_of_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", ["x.png"], level=9)
    source = open_frames(folder / "x.png")
    assert source.names == ("x",) and [int(frame[0, 0, 0]) for frame in source.open()] == [9]
    assert len(match(source, open_frames(folder))) == 1


def test_what_macos_and_windows_leave_is_no_frame(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", ["1.png", "2.png"])
    for name in ("._1.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\26\7")
    assert open_frames(folder).names == ("1", "2")


@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_what_is_no_file_among_frames_is_refused_without_waiting(tmp_path: Path, what: str) -> None:
    folder = write_folder(tmp_path / "a", ["1.png"])
    os.mkfifo(folder / "2.png") if what == "pipe" else (folder / "2.png").mkdir()
    with pytest.raises(UserError, match=rf"2\.png is a .*{what}"):
        open_frames(folder)


@pytest.mark.parametrize("name", ["frames", "1.png", "film.mp4"])
def test_frames_that_are_not_there_may_be_given_in_each_form(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file; give a folder of pictures, one picture, or a video"):
        open_frames(tmp_path / name)
