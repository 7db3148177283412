"""Tracks of other trackers: written as those write them, read back; what is missing is named."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.importers import FORMATS, import_track
from emo_bench.importers.foreign_track import ForeignTrack

RNG = np.random.default_rng(5)


def test_faceverse_v3_by_its_slices(tmp_path: Path) -> None:
    (tmp_path / "coeffs").mkdir()
    rows = RNG.normal(size=(3, 490)).astype(np.float32)
    for i, row in enumerate(rows):
        np.save(tmp_path / "coeffs" / f"v3_{i + 5:06d}.npy", row[None])
    track = import_track("faceverse-v3", str(tmp_path))
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


def _save_v4(folder: Path, coeffs: object) -> None:
    np.save(folder / "1.npy", {"coeffs": coeffs, "bbox_list": []})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04xx", b"\x93NUMPY\x01\x00", bytes(200)])
def test_a_file_of_anything_is_one_line(kind: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / ("1.frame" if kind == "metrical-tracker" else "1.npy")
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"1\.(npy|frame) cannot be read") as refused:
        import_track(kind, tmp_path)
    assert "\n" not in str(refused.value) and "weights_only" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", "holds no real numbers"),
        ([[1], [1, 2]], "holds no array of numbers"),
        (None, "holds no real numbers"),
        (np.zeros(621, np.complex64), "holds no real numbers"),
        (np.full(621, np.nan), "holds values that are not finite"),
        (np.zeros((27, 23)), r"has shape \(27, 23\), not the 621"),
    ],
)
def test_coefficients_that_are_none_are_named(value: object, message: str, tmp_path: Path) -> None:
    _save_v4(tmp_path, value)
    with pytest.raises(UserError, match=rf"1\.npy: coeffs {message}"):
        import_track("faceverse-v4", tmp_path)


def test_complex_numbers_are_no_coefficients(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.zeros(490, np.complex64))
    with pytest.raises(UserError, match=r"1\.npy holds no real numbers"):
        import_track("faceverse-v3", tmp_path)


@pytest.mark.parametrize("shape", [(62, 5), (31, 4), (0, 62), (124,), (2, 1, 62)])
def test_3ddfa_parameters_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", RNG.normal(size=shape))
    with pytest.raises(UserError, match="not the \\[frames, 62\\] of 3DDFA_V2"):
        import_track("3ddfa-v2", tmp_path / "all.npy")


def test_3ddfa_rotations_are_the_nearest_ones(tmp_path: Path) -> None:
    rows = RNG.normal(size=(20, 62))
    np.save(tmp_path / "all.npy", rows)
    np.save(tmp_path / "one.npy", rows[3])
    found = import_track("3ddfa-v2", tmp_path / "all.npy").rotation
    np.testing.assert_allclose(found @ found.transpose(0, 2, 1), np.tile(np.eye(3), (20, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(found), 1.0, atol=1e-6)
    np.testing.assert_array_equal(import_track("3ddfa-v2", tmp_path / "one.npy").rotation, found[3:4])
    first_two = rows[:, :12].reshape(-1, 3, 4)[:, :2, :3]
    fit = (found[:, :2] * first_two).sum((1, 2))
    for other in Rotation.random(200, rng=RNG).as_matrix():
        assert ((other[:2] * first_two).sum((1, 2)) < fit + 1e-5).all()


def test_parallel_rows_are_no_camera(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", np.stack([RNG.normal(size=62), np.ones(62)]))
    with pytest.raises(UserError, match="camera of frame 1 has no direction"):
        import_track("3ddfa-v2", tmp_path / "all.npy")


def _metrical(folder: Path, **flame: object) -> ForeignTrack:
    content = _frame()
    content["flame"] = content["flame"] | flame  # type: ignore[operator]
    torch.save(content | {"step": np.float64(3), "size": np.array([1, 2], np.int32)}, folder / "1.frame")
    return import_track("metrical-tracker", folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_metrical_tensors_of_any_float_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.linspace(-2, 2, 100, dtype=dtype)
    track = _metrical(tmp_path, exp=torch.nn.Parameter(values[None]))
    np.testing.assert_array_equal(track.expression[0], values.float().numpy())
    track = _metrical(tmp_path, exp=values.float().numpy().astype(np.float16))
    np.testing.assert_allclose(track.expression[0], values.float().numpy(), atol=1e-2)


def test_a_frame_that_numpy_1_pickled_is_read(tmp_path: Path) -> None:
    track = _metrical(tmp_path)
    with zipfile.ZipFile(tmp_path / "1.frame") as made:
        files = {info.filename: made.read(info) for info in made.infolist()}
    with zipfile.ZipFile(tmp_path / "1.frame", "w") as old:
        for name, content in files.items():
            old.writestr(name, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(import_track("metrical-tracker", tmp_path).rotation, track.rotation)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "flame.exp holds no real numbers"),
        ([[1], [1, 2]], "flame.exp holds no array of numbers"),
        (torch.zeros(100, dtype=torch.complex64), "flame.exp holds no real numbers"),
        (torch.zeros(1, 3), "flame.exp has 3 numbers, not the 100"),
        (torch.zeros(2, 100), r"flame.exp has shape \(2, 100\), not the 100"),
        (Path("x"), "wants to run pathlib"),
    ],
)
def test_metrical_fields_of_another_kind_are_named(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"1\.frame.*{message}"):
        _metrical(tmp_path, exp=value)


def _import(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["actors", "import-track", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_writes_what_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    track = _metrical(tmp_path)
    out = tmp_path / "anna.npz"
    assert _import("metrical-tracker", tmp_path, "--out", out) == 0
    assert capsys.readouterr().out == f"track    {out} (metrical-tracker, 1 frames from 1 to 1)\n"
    with np.load(out) as kept:
        assert set(kept) == {
            "tracker", "frames", "identity", "expression", "rotation", "translation", "intrinsics",
        }  # fmt: skip
        assert kept["tracker"] == "metrical-tracker"
        for name in set(kept) - {"tracker"}:
            np.testing.assert_array_equal(kept[name], getattr(track, name))


def test_the_command_keeps_where_the_uv_maps_lie(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir()
    np.save(tmp_path / "7.npy", np.zeros(490))
    (tmp_path / "uv" / "7.png").touch()
    assert _import("faceverse-v3", tmp_path, "--out", tmp_path / "track.npz") == 0
    with np.load(tmp_path / "track.npz") as kept:
        assert kept["uv_files"].tolist() == [str(tmp_path / "uv" / "7.png")]


def test_a_command_that_fails_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    for folder in (made, out):
        folder.mkdir()
    _save_v4(made, np.zeros(621))
    assert _import("faceverse-v3", made, "--out", out / "a.npz") == 2
    assert _import("faceverse-v5", made, "--out", out / "a.npz") == 2
    assert _import("faceverse-v4", made, "--out", out / "a.txt") == 2
    assert _import("faceverse-v4", made, "--out", out / "absent" / "a.npz") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == error.count("emo-bench: ") == 4
    assert not list(out.iterdir())


def test_the_command_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert _import("--help") == 0
    assert set(FORMATS) <= set(capsys.readouterr().out.replace(",", " ").replace(".", " ").split())
