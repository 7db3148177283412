"""Driving by another track: expressions are theirs, the head turns as theirs does, everything else stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.runs.driving import driven_capture, driven_track, load_driver, projected_landmarks, write_mp4


@pytest.fixture(scope="module")
def indices() -> np.ndarray:
    return np.arange(0, 60, 6)


def test_the_head_turns_from_its_mean_as_the_drivers_does(indices: np.ndarray) -> None:
    own, driver = actors.load("1").track, actors.load("2").track
    driven = driven_track(own, driver, indices)
    np.testing.assert_array_equal(driven.expression, driver.expression[indices])

    def turns(poses: np.ndarray) -> Rotation:
        return Rotation.from_matrix(poses[:, :3, :3].astype(np.float64))

    theirs = turns(driver.head_pose[driver.valid_indices]).mean().inv() * turns(driver.head_pose[indices])
    ours = turns(driven.head_pose)
    steps = (ours[:-1].inv() * ours[1:]).magnitude()
    np.testing.assert_allclose(steps, (theirs[:-1].inv() * theirs[1:]).magnitude(), atol=1e-5)
    assert np.ptp(driven.body_rotvec, axis=0).max() == 0.0 and np.ptp(driven.body_translation, axis=0).max() == 0.0


def test_landmarks_are_near_those_that_were_tracked() -> None:
    """On the studio's exact track the rig's own landmarks lie where the actor's landmarks do."""
    track = actors.load("1").track
    gaps = [np.linalg.norm(projected_landmarks(track, i) - track.landmarks478[i], axis=1).mean() for i in (0, 700)]
    assert max(gaps) < 0.01 * track.size_px


def test_the_driven_capture_has_no_readable_frame(indices: np.ndarray) -> None:
    own = actors.load("1")
    driven = driven_capture(own, actors.load("2"), indices)
    assert len(driven) == len(indices) and len(own) == 1500
    with pytest.raises(PermissionError):
        driven.frames([0])
    uv, mask = driven.track.uv(3, 32)
    assert uv.shape == (32, 32, 2) and 0.1 < mask.mean() < 0.9


def test_the_driver_is_an_actor_or_a_video_with_a_new_name(tmp_path: Path) -> None:
    assert load_driver("2").sha256 == actors.load("2").sha256
    with pytest.raises(UserError, match="there is no actor 'nobody'"):
        load_driver("nobody")
    taken = tmp_path / "2.mp4"
    taken.touch()
    with pytest.raises(UserError, match="there is already an actor 2: give --by 2, or rename the video"):
        load_driver(str(taken))


def test_a_video_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    import av

    path = tmp_path / "new" / "out.mp4"

    def breaks() -> object:
        yield np.zeros((32, 64, 3), np.uint8)
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_mp4(path, breaks(), 25.0)  # type: ignore[arg-type]
    assert not list(path.parent.iterdir())
    write_mp4(path, iter([np.full((32, 64, 3), 80, np.uint8)] * 5), 25.0)
    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 5 and abs(float(frames[2].mean()) - 80) < 2
