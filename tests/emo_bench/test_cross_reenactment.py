"""Driving by another track: expressions are theirs, the head turns by the rule, everything else stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emo_bench import actors
from emo_bench.actors import Track
from emo_bench.actors.track import POSES
from emo_bench.errors import UserError
from emo_bench.runs.driving import load_driver, write_mp4
from emo_bench.runs.transfer import driven_capture, driven_track, projected_landmarks


def rows_of(track: Track, rows: slice) -> Track:
    names = ("expression", "landmarks478", "face_found", "foreground_bits", "torso_shift", *POSES)
    return replace(track, **{name: getattr(track, name)[rows] for name in names})


def turns(track: Track) -> Rotation:
    return Rotation.from_matrix(track.head_pose[track.valid_indices, :3, :3].astype(np.float64))


@pytest.fixture(scope="module")
def own() -> Track:
    return actors.load("1").track


@pytest.fixture(scope="module")
def driver() -> Track:
    """A minute of actor 2, of which every sixth frame is kept, one of them without a face."""
    track = rows_of(actors.load("2").track, slice(0, 600, 6))
    found = track.face_found.copy()
    found[7] = False
    hidden = {name: getattr(track, name).copy() for name in ("expression", *POSES, "torso_shift")}
    for array in hidden.values():
        array[7] = np.nan
    return replace(track, face_found=found, **hidden)


def test_relative_turns_are_the_drivers_from_both_means(own: Track, driver: Track) -> None:
    driven = driven_track(own, driver)
    np.testing.assert_array_equal(driven.expression, driver.expression)
    ours, theirs = turns(driven), turns(driver)
    gaps = (ours.mean().inv() * ours).inv() * (theirs.mean().inv() * theirs)
    np.testing.assert_allclose(gaps.magnitude(), 0.0, atol=1e-4)
    assert np.degrees((ours.mean().inv() * turns(own).mean()).magnitude()) < 1.0, "the mean stays the person's own"


def test_absolute_turns_are_the_drivers(own: Track, driver: Track) -> None:
    gaps = (turns(driven_track(own, driver, "absolute")).inv() * turns(driver)).magnitude()
    np.testing.assert_allclose(gaps, 0.0, atol=1e-4)


@pytest.mark.parametrize("transfer", ["relative", "absolute"])
def test_shoulders_and_place_stay_and_lost_frames_are_nan(own: Track, driver: Track, transfer: str) -> None:
    driven = driven_track(own, driver, transfer)  # type: ignore[arg-type]
    np.testing.assert_array_equal(driven.face_found, driver.face_found)
    assert len(driven) == len(driver) and not driven.face_found[7]
    for name in ("body_rotvec", "body_translation", "torso_shift"):
        values = getattr(driven, name)
        assert np.isnan(values[7]).all() and np.ptp(values[driven.valid_indices], axis=0).max() == 0.0
    middle = own.body_translation[own.valid_indices].mean(axis=0)
    np.testing.assert_allclose(driven.body_translation[0], middle, atol=1e-6)
    assert np.isfinite(driven.landmarks478[driven.valid_indices]).all() and np.isnan(driven.landmarks478[7]).all()


def test_landmarks_are_near_those_that_were_tracked() -> None:
    """On the studio's exact track the rig's own landmarks lie where the actor's landmarks do."""
    track = actors.load("1").track
    gaps = [np.linalg.norm(projected_landmarks(track, i) - track.landmarks478[i], axis=1).mean() for i in (0, 700)]
    assert max(gaps) < 0.01 * track.size_px


def test_the_driven_capture_has_no_readable_frame() -> None:
    own = actors.load("1")
    driven = driven_capture(own, actors.load("2"))
    assert len(driven) == len(actors.load("2"))
    with pytest.raises(PermissionError):
        driven.frames([0])
    uv, mask = driven.track.uv(3, 32)
    assert uv.shape == (32, 32, 2) and 0.1 < mask.mean() < 0.9


def test_who_drives_itself_keeps_its_track() -> None:
    own = actors.load("1")
    driven = driven_capture(own, actors.load("1"))
    np.testing.assert_array_equal(driven.track.head_rotvec, own.track.head_rotvec)
    np.testing.assert_array_equal(driven.track.landmarks478, own.track.landmarks478)
    with pytest.raises(PermissionError):
        driven.frames([0])


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
