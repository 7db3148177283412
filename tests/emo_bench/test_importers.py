"""Tracks of other trackers: written as those write them, read back; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emo_bench.errors import UserError
from emo_bench.importers import import_track

RNG = np.random.default_rng(5)


def test_faceverse_v3_by_its_slices(tmp_path: Path) -> None:
    (tmp_path / "coeffs").mkdir()
    rows = RNG.normal(size=(3, 490)).astype(np.float32)
    for i, row in enumerate(rows):
        np.save(tmp_path / "coeffs" / f"{i + 5:06d}.npy", row[None])
    track = import_track("faceverse-v3", tmp_path)
    assert track.frames.tolist() == [5, 6, 7]
    np.testing.assert_array_equal(track.identity, rows[:, :150])
    np.testing.assert_array_equal(track.expression, rows[:, 150:202])
    np.testing.assert_array_equal(track.rotation, rows[:, 453:456])
    np.testing.assert_array_equal(track.translation, rows[:, 483:486])


def test_faceverse_v4_reads_its_dictionary(tmp_path: Path) -> None:
    row = RNG.normal(size=(1, 621)).astype(np.float32)
    np.save(tmp_path / "000009.npy", {"coeffs": row, "bbox_list": [1, 2, 3]})  # type: ignore[arg-type]
    track = import_track("faceverse-v4", tmp_path)
    np.testing.assert_array_equal(track.expression, row[:, 156:333])


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "1.npy", np.array({"coeffs": Evil()}, dtype=object))
    with pytest.raises(UserError, match="wants to run"):
        import_track("faceverse-v4", tmp_path)
    assert not (tmp_path / "ran").exists()


def _frame(**changes: object) -> dict[str, object]:
    rotation = np.linalg.qr(RNG.normal(size=(3, 3)))[0][None].astype(np.float32)
    flame = {"exp": np.ones((1, 100), np.float32), "shape": np.zeros((1, 300), np.float32)}
    opencv = {"R": rotation, "t": np.ones((1, 3), np.float32), "K": np.eye(3, dtype=np.float32)[None]}
    return {
        "flame": flame,
        "opencv": opencv,
        "img_size": np.array([512, 512]),
        "frame_id": "00000",
        **changes,
    }


def test_metrical_tracker_as_torch_saves_it(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    content = _frame()
    torch.save(content, tmp_path / "checkpoint" / "00003.frame")
    track = import_track("metrical-tracker", tmp_path)
    assert (track.expression.shape, track.identity.shape) == ((1, 100), (1, 300))
    np.testing.assert_array_equal(track.rotation[0], content["opencv"]["R"][0])  # type: ignore[index]
    torch.save(_frame(opencv={}), tmp_path / "checkpoint" / "00004.frame")
    with pytest.raises(UserError, match=r"00004\.frame lacks the field opencv\.R"):
        import_track("metrical-tracker", tmp_path)


def test_3ddfa_camera_gives_back_the_rotation(tmp_path: Path) -> None:
    rotation = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    camera = np.concatenate([rotation * 1e-4, [[40.0], [50.0], [-60.0]]], axis=1)
    row = np.concatenate([camera.reshape(-1), np.arange(50.0)])
    np.save(tmp_path / "all.npy", np.stack([row, row]))
    track = import_track("3ddfa-v2", tmp_path / "all.npy")
    np.testing.assert_allclose(track.rotation[1], rotation, atol=1e-5)
    np.testing.assert_array_equal(track.translation[0], [40, 50, -60])
    np.testing.assert_array_equal(track.expression[0], np.arange(40.0, 50.0))


@pytest.mark.parametrize(
    ("kind", "width", "message"),
    [
        ("faceverse-v3", 621, "has 621 numbers, not the 490"),
        ("faceverse-v4", 621, "lacks the field coeffs"),
        ("3ddfa-v2", 61, "has 61 numbers, not the 62"),
        ("deca", 1, "there is no track format"),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, kind: str, width: int, message: str) -> None:
    np.save(tmp_path / "0.npy", np.ones(width, np.float32))
    with pytest.raises(UserError, match=message):
        import_track(kind, tmp_path)


def test_styleavatar_folders_lack_coefficients(tmp_path: Path) -> None:
    (tmp_path / "exp.txt").write_text("0 0 0")
    with pytest.raises(UserError, match="first frame only"):
        import_track("faceverse-v3", tmp_path)
    with pytest.raises(UserError, match="holds no"):
        import_track("metrical-tracker", tmp_path)
