"""Exports read back: cameras that hit the same pixels, pictures of training frames only, UV to 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emo_bench import actors
from emo_bench.actors.capture import resize_area
from emo_bench.errors import UserError
from emo_bench.methods.command.layouts import export_driving, export_training
from emo_bench.tracking.head_rig import load_head_rig

TRAIN, TEST = [0, 3, 40], [140, 149]


@pytest.fixture(scope="module")
def person() -> actors.Capture:
    return actors.load("1")


@pytest.mark.parametrize("size_px", [64, 200])
def test_cameras_put_the_head_on_the_same_pixels(person: actors.Capture, tmp_path: Path, size_px: int) -> None:
    """A point of the head through NeRF's camera, against the landmark of the same point in the track."""
    export_training("plain", person.restricted(TRAIN), TRAIN, tmp_path, size_px)
    export_driving("plain", person.restricted(()), TEST, tmp_path, size_px)
    rig, track = load_head_rig(), person.track
    corners = rig.landmark_vertices
    for name, wanted in (("train", TRAIN), ("test", TEST)):
        content = json.loads((tmp_path / f"transforms_{name}.json").read_text())
        assert [entry["frame"] for entry in content["frames"]] == wanted
        for entry in content["frames"]:
            i = entry["frame"]
            camera_points = np.einsum("nc,ncd->nd", rig.landmark_barycentric, track.vertices(i)[corners])
            pose = track.head_pose[i].astype(np.float64)
            in_head = (camera_points - pose[:3, 3]) @ pose[:3, :3]
            world_to_camera = np.linalg.inv(np.array(entry["transform_matrix"]))
            seen = in_head @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
            assert (seen[:, 2] < 0).all(), "NeRF's camera looks along -z"
            x = content["fl_x"] * seen[:, 0] / -seen[:, 2] + content["cx"]
            y = content["fl_y"] * -seen[:, 1] / -seen[:, 2] + content["cy"]
            scale = size_px / track.size_px
            expected = camera_points[:, :2] / camera_points[:, 2:] * track.focal_px + track.center_px
            np.testing.assert_allclose(np.stack([x, y], 1), expected * scale, atol=1e-2)
            # The rig was tracked to the landmarks, so the export lies on the recorded face too.
            off = np.linalg.norm(np.stack([x, y], 1) - track.landmarks478[i] * scale, axis=1)
            assert np.median(off) < 0.03 * size_px


def test_pictures_and_masks_are_the_captures(person: actors.Capture, tmp_path: Path) -> None:
    export_training("plain", person.restricted(TRAIN), TRAIN, tmp_path, 64)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == [f"{i:06d}.png" for i in TRAIN]
    for i, frame in zip(TRAIN, person.frames(TRAIN), strict=True):
        written = np.array(Image.open(tmp_path / "frames" / f"{i:06d}.png"))
        np.testing.assert_array_equal(written, resize_area(frame, 64))
        mask = np.array(Image.open(tmp_path / "masks" / f"{i:06d}.png"))
        np.testing.assert_array_equal(mask == 255, person.track.foreground(i, 64))
    with np.load(tmp_path / "track.npz") as arrays:
        np.testing.assert_array_equal(arrays["expression"], person.track.expression)
        np.testing.assert_allclose(arrays["landmarks68"] * 4, person.track.landmarks68, rtol=1e-5)


@pytest.mark.parametrize("layout", ["plain", "style-avatar"])
def test_held_out_frames_never_leave_as_pictures(person: actors.Capture, tmp_path: Path, layout: str) -> None:
    with pytest.raises(PermissionError):
        export_training(layout, person.restricted([0]), [0, 1], tmp_path / "a", 64)
    export_driving(layout, person.restricted(()), [1], tmp_path / "b", 64)
    names = {p.parent.name for p in (tmp_path / "b").rglob("*.png")}
    assert names == ({"uv", "render"} if layout == "style-avatar" else set())


def test_style_avatar_maps(person: actors.Capture, tmp_path: Path) -> None:
    export_training("style-avatar", person.restricted([40]), [40], tmp_path, 128)
    read = {part: np.array(Image.open(tmp_path / part / "000040.png")) for part in ("image", "uv", "render", "back")}
    shapes = {part: picture.shape for part, picture in read.items()}
    assert shapes == {"image": (128, 128, 3), "uv": (256, 256, 3), "render": (256, 256, 3), "back": (128, 128)}
    uv, mask = person.track.uv(40, 256)
    np.testing.assert_array_equal(read["uv"][..., 2] == 255, mask)
    assert np.abs(read["uv"][..., :2] / 255 - uv.astype(float))[mask].max() <= 0.5 / 255 + 1e-3
    np.testing.assert_array_equal(read["render"].any(axis=-1), mask)
    assert read["render"][mask].std() > 5, "the render is shaded"


def test_an_unknown_layout_is_one_line(person: actors.Capture, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no export layout 'nerf'"):
        export_training("nerf", person, [0], tmp_path, 64)
