"""The trivial methods on a small video: against numpy and scipy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from baselines.mean_frame import MeanFrame
from baselines.nearest_frame import CHECKPOINT, MOTION, NearestFrame, motion, nearest_rows
from emo_bench import actors
from emo_bench.actors.track import POSES
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, Workspace

TRAIN = [*range(7), *range(10, 100, 3)]


def workspace(folder: Path, **settings: str) -> Workspace:
    return Workspace(folder, "smoke", seed=0, settings=settings)


def test_mean_frame_is_the_mean(actor: str, tmp_path: Path) -> None:
    capture = actors.load(actor)
    method = MeanFrame(workspace(tmp_path))
    method.fit(capture.restricted(TRAIN), TRAIN)
    rendered = list(method.render(capture.restricted(()), [130, 140]))
    mean = np.stack(list(capture.frames(TRAIN))).astype(float).mean(axis=0)
    assert np.abs(rendered[0] - mean).max() <= 0.5
    np.testing.assert_array_equal(rendered[0], rendered[1])


def test_nearest_frame_of_a_training_frame_is_itself(actor: str, tmp_path: Path) -> None:
    capture = actors.load(actor)
    method = NearestFrame(workspace(tmp_path))
    method.fit(capture.restricted(TRAIN), TRAIN)
    order = [40, 10, 97, 0, 40]
    rendered = np.stack(list(method.render(capture.restricted(()), order)))
    np.testing.assert_array_equal(rendered, np.stack(list(capture.frames(order))))


def test_another_persons_track_drives_it(actor: str, tmp_path: Path) -> None:
    """Frames are named by the driver, whose track is longer or shorter than that of the training frames."""
    capture = actors.load(actor)
    method = NearestFrame(workspace(tmp_path))
    method.fit(capture.restricted(TRAIN), TRAIN)
    order = [40, 10, 97]
    rows = np.array([149, *order])
    short = capture.restricted(())
    track = capture.track
    names = ("expression", "landmarks478", "face_found", "foreground_bits", "torso_shift", *POSES)
    short.__dict__["track"] = replace(track, **{name: getattr(track, name)[rows] for name in names})
    rendered = np.stack(list(method.render(short, [1, 2, 3])))
    np.testing.assert_array_equal(rendered, np.stack(list(capture.frames(order))))


def test_a_fit_without_its_motion_is_refused(actor: str, tmp_path: Path) -> None:
    """An older version stored the numbers of the frames alone; another person's track would give them other poses."""
    capture = actors.load(actor)
    method = NearestFrame(workspace(tmp_path))
    method.fit(capture.restricted(TRAIN), TRAIN)
    (tmp_path / CHECKPOINT).write_bytes(save({"train": np.asarray(TRAIN[:-1], np.int64)}))
    with pytest.raises(UserError, match="is of another fit"):
        next(method.render(capture.restricted(()), [130]))
    (tmp_path / MOTION).unlink()
    with pytest.raises(UserError, match=r"train_motion\.safetensors is missing"):
        method.load()


def test_nearest_is_by_standardised_pose_and_expression(actor: str) -> None:
    """The same neighbours by scipy's tree over features put together here, frame by frame."""
    track = actors.load(actor).track
    train = np.array(TRAIN)
    wanted = [i for i in range(100, 150) if i != 120]
    matrices = track.head_pose[[*train, *wanted]].astype(float)
    # Of this actor's pose only the turn about one axis moves; what stands still must not count.
    yaw = Rotation.from_matrix(matrices[:, :3, :3]).as_rotvec()[:, 1:2]
    translation = matrices[:, :3, 3]
    expression = track.expression[[*train, *wanted]].astype(float)
    groups = []
    for group in (np.concatenate([yaw, translation], axis=1), expression):
        own = group[: len(train)]
        moving = own.std(axis=0) > 1e-3
        scaled = (group[:, moving] - own[:, moving].mean(axis=0)) / own[:, moving].std(axis=0)
        groups.append(scaled / np.sqrt(moving.sum()))
    features = np.concatenate(groups, axis=1)
    distances, _ = KDTree(features[: len(train)]).query(features[len(train) :])
    pose, expression = motion(track)
    chosen = nearest_rows((pose[train], expression[train]), (pose, expression), wanted)
    own_distances = np.linalg.norm(features[len(train) :] - features[chosen], axis=1)
    np.testing.assert_allclose(own_distances, distances, atol=1e-6)


def test_nearest_frame_beats_the_mean_where_motion_repeats(actor: str, tmp_path: Path) -> None:
    capture = actors.load(actor)
    test = [i for i in range(100, 150) if i != 120]
    truth = np.stack(list(capture.frames(test))).astype(float)
    errors = {}
    for cls in (MeanFrame, NearestFrame):
        folder = tmp_path / cls.info.name
        folder.mkdir()
        method = cls(workspace(folder))
        method.fit(capture.restricted(TRAIN), TRAIN)
        errors[cls] = np.square(np.stack(list(method.render(capture.restricted(()), test))) - truth).mean()
    assert errors[NearestFrame] < 0.75 * errors[MeanFrame], errors


@pytest.mark.parametrize("cls", [MeanFrame, NearestFrame])
def test_a_fresh_object_takes_up_the_fit(cls: type[Method], actor: str, tmp_path: Path) -> None:
    capture = actors.load(actor)
    first = cls(workspace(tmp_path, resolution_px="48"))
    with pytest.raises(UserError, match="run the fit first"):
        first.load()
    first.fit(capture.restricted(TRAIN), TRAIN)
    second = cls(workspace(tmp_path, resolution_px="48"))
    second.load()
    here, there = (list(m.render(capture.restricted(()), [101, 125])) for m in (first, second))
    np.testing.assert_array_equal(here, there)
    assert here[0].shape == (48, 48, 3)
