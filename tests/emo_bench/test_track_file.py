"""track.npz and capture.json of anybody: the values of good ones, one line for every other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emo_bench.actors.capture import Track
from emo_bench.actors.capture_info import read_capture_info
from emo_bench.actors.library import list_actors, load
from emo_bench.actors.track_file import FIELDS
from emo_bench.errors import UserError
from tests.conftest import write_actor

Change = Callable[[dict[str, np.ndarray]], Any]
FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of twelve frames; no face in the third."""
    folder = tmp_path_factory.mktemp("home") / "captures" / "dot"
    folder.mkdir(parents=True)
    write_actor(folder, FRAMES, (2,))
    return folder


@pytest.fixture
def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "track.npz") as content:
        return dict(content)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        Track.load(path)
    line = str(caught.value)
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
    assert line.endswith("add the video again")
    return line


def test_every_array_is_needed(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert set(arrays) == {"version", *FIELDS} - {"foreground_shares"}, "soft masks are kept where there are any"
    path = tmp_path / "track.npz"
    for name in arrays:
        np.savez(path, **{other: value for other, value in arrays.items() if other != name})
        if name == "torso_shift":
            assert not Track.load(path).torso_shift.any()
        else:
            assert (name if name != "version" else "another version") in refusal(path)


def _nan_in_face(name: str) -> Change:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][3] = np.nan

    return change


def _put(name: str, value: Any) -> Change:
    return lambda arrays: arrays.update({name: np.asarray(value)})


def _as(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda arrays: arrays.update({name: change(arrays[name])})


def _cut_all(arrays: dict[str, np.ndarray]) -> None:
    arrays.update({name: array[:0] for name, array in arrays.items() if array.shape[:1] == (FRAMES,)})


POSES = ("body_rotvec", "body_translation", "neck_rotvec", "head_rotvec", "torso_shift")
HOSTILE: dict[str, Change] = {
    "version as text": _put("version", "1"),
    "version as list": _put("version", [1]),
    "version 2": _put("version", 2),
    "version as float": _put("version", 1.0),
    "size as text": _put("size_px", "64"),
    "size 0": _put("size_px", 0),
    "size huge": _put("size_px", 10**9),
    "size as list": _put("size_px", [64]),
    "mask size": _put("foreground_px", 10**9),
    "mask size negative": _put("foreground_px", -16),
    "mask size of others": _put("foreground_px", 24),
    "masks as float": _as("foreground_changes", lambda a: a.astype(float)),
    "masks cut": _as("foreground_changes", lambda a: a[:, 1:]),
    "masks of fewer frames": _as("foreground_changes", lambda a: a[1:]),
    "soft masks cut": _put("foreground_shares", np.zeros((FRAMES, 3), np.uint8)),
    "soft masks of fewer frames": _put("foreground_shares", np.zeros((1, 128), np.uint8)),
    "soft masks as float": _put("foreground_shares", np.zeros((FRAMES, 128))),
    "faces as float": _as("face_found", lambda a: a.astype(float)),
    "faces as integers": _as("face_found", lambda a: a.astype(np.uint8)),
    "faces in two axes": _as("face_found", lambda a: a[None]),
    "no frames": _cut_all,
    "landmarks as text": _put("landmark_steps", "x"),
    "landmarks in 64 bits": _as("landmark_steps", lambda a: a.astype(np.int64)),
    "landmarks of 68": _as("landmark_steps", lambda a: a[:, :68]),
    "camera without focal length": _put("camera", [0.0, 32, 32]),
    "camera of two": _put("camera", [100.0, 32]),
    "camera infinite": _put("camera", [np.inf, 32, 32]),
    "camera as integers": _put("camera", [100, 32, 32]),
    "joints of one": _as("joints", lambda a: a[0]),
    "joints not finite": _put("joints", np.full((2, 3), np.nan, np.float32)),
    "vertices in one axis": _as("rest_vertices", lambda a: a[0]),
    "vertices not finite": _as("rest_vertices", lambda a: a * np.float32(np.inf)),
    "complex expression": _as("expression", lambda a: a.astype(complex)),
    "expression of 51": _as("expression", lambda a: a[:, :51]),
    "expression of fewer frames": _as("expression", lambda a: a[:5]),
    "objects": _put("expression", np.array([{}], dtype=object)),
    "fields": _put("expression", np.zeros(3, dtype=[("a", "f4")])),
    **{f"{name} not finite": _nan_in_face(name) for name in (*POSES, "expression")},
    **{f"{name} far too large": _as(name, lambda a: a + np.float32(1e30)) for name in POSES},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_arrays_of_another_kind_are_named(what: str, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    arrays = {name: array.copy() for name, array in arrays.items()}
    HOSTILE[what](arrays)
    path = tmp_path / "track.npz"
    np.savez(path, **arrays)
    refusal(path)


def test_where_no_face_is_found_numbers_may_be_missing(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    track = Track.load(folder / "track.npz")
    assert np.isnan(track.expression[2]).all() and np.isnan(track.landmarks478[2]).all()
    assert np.isfinite(track.expression[track.face_found]).all()
    np.testing.assert_array_equal(track.head_rotvec, arrays["head_rotvec"])
    assert track.expression.flags.writeable


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_track_is_read_or_refused(folder: Path, tmp_path: Path, data: st.DataObject) -> None:
    changed = bytearray((folder / "track.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of the file are packed vertices; what says how it is made is near both ends.
        where = (
            st.integers(0, 400) | st.integers(len(changed) - 2500, len(changed) - 1) | st.integers(0, len(changed) - 1)
        )
        at = data.draw(where)
        if data.draw(st.booleans()):
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del changed[at : at + data.draw(st.integers(1, 40))]
    path = tmp_path / "track.npz"
    path.write_bytes(changed)
    try:
        track = Track.load(path)
    except UserError as error:
        line = str(error)
    else:
        assert np.isfinite(track.head_pose[track.face_found]).all()
        return
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300


GOOD = {"source": "video", "frames": FRAMES, "fps": 25, "size_px": 64}


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": float("nan")}, {"fps": float("inf")}, {"fps": 0}, {"fps": -25}, {"fps": 1e9}, {"fps": "25"},
        {"fps": True}, {"fps": [25]},
        {"frames": 0}, {"frames": 1e3}, {"frames": ["a"]}, {"frames": 10**30}, {"frames": None}, {"frames": "12"},
        {"size_px": {}}, {"size_px": float("inf")}, {"size_px": -1}, {"size_px": 10**9},
        {"source": "camera"}, {"source": None}, {"source": ["video"]}, {"source": "\x1b[31m" + "x" * 100_000},
    ],
)  # fmt: skip
def test_facts_of_a_capture_of_another_kind(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "capture.json"
    path.write_text(json.dumps({**GOOD, "made": "by hand"}))
    assert read_capture_info(path).frames == FRAMES
    path.write_text(json.dumps({**GOOD, **changes}))
    _one_line(path)
    for name in GOOD:
        path.write_text(json.dumps({other: value for other, value in GOOD.items() if other != name}))
        assert name in _one_line(path)


@pytest.mark.parametrize("content", [
    b"", b"[]", b"null", b"7", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b'{"a":' * 99_999,
    b'{"fps": ' + b"9" * 99_999 + b"}", b" " * (3 << 20),
])  # fmt: skip
def test_captures_that_are_no_facts(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "capture.json").write_bytes(content)
    _one_line(tmp_path / "capture.json")


def _one_line(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_capture_info(path)
    line = str(caught.value)
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
    return line


def test_an_actor_with_damaged_facts_is_named_by_the_library(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    shutil.copytree(folder, home / "captures" / "dot")
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    assert len(load("dot")) == FRAMES
    (home / "captures" / "dot" / "capture.json").write_text(json.dumps({**GOOD, "fps": float("nan")}))
    with pytest.raises(UserError, match=r"capture\.json.*fps.*add it again"):
        load("dot")
    assert "dot" not in [actor.name for actor in list_actors()], "it does not hide the others"
    assert re.search(r"actor dot is left out: .*capture\.json.*fps.*add it again", caplog.text)
