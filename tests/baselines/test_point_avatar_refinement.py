"""PointAvatar's refinement of the track of training frames, against the exact track of a studio actor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from baselines.camera import camera_at
from baselines.point_avatar.fitting import PointAvatarFit, TrainingPictures, restore_model
from baselines.point_avatar.refinement import split
from baselines.point_avatar.renderer import PointAvatarModel
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.actors.track import POSES
from emo_bench.tracking.head_rig import load_head_rig
from tests.baselines.test_point_avatar import method

TRAIN = [0, 150, 300, 450]


def shaken(capture: Capture, errors: dict[str, np.ndarray]) -> Capture:
    """The capture with errors ``[3]`` or ``[52]`` in the track of these frames, by turns added and subtracted."""
    track = capture.track
    changed: dict[str, Any] = {}
    for name, error in errors.items():
        changed[name] = getattr(track, name).copy()
        changed[name][TRAIN] += np.resize((1.0, -1.0), len(TRAIN)).astype(np.float32)[:, None] * error
    other = capture.restricted(TRAIN)
    other.__dict__["track"] = dataclasses.replace(track, **changed)
    return other


def test_refinement_returns_to_the_exact_track(tmp_path: Path) -> None:
    """The track of a studio actor is exact. An avatar that knows the person finds it again from a wrong one."""
    avatar, capture = method(tmp_path, steps="160", lr="0.002"), actors.load("1")
    avatar.fit(capture.restricted(TRAIN), TRAIN)
    errors = {"body_translation": np.array([0.015, 0.01, 0.0]), "head_rotvec": np.radians([0.0, 6.0, 0.0])}
    wrong = shaken(capture, errors)
    rates = dict.fromkeys(("lr", "point_lr", "albedo_lr"), 1e-12)
    chosen = {"refine_track": True, "refine_from": 1e-6, "refine_lr": 4e-3, "steps": 160, "growths": 0, **rates}
    config = avatar.config.model_copy(update=chosen)
    track, size = capture.track, config.resolution_px
    model = PointAvatarModel(
        load_head_rig(), track.head.rest_vertices, track.head.joints, np.zeros((size, size, 3)), config, "cpu"
    )
    assert avatar._fitted is not None
    restore_model(model, avatar._fitted)
    fitting = PointAvatarFit(
        model, TrainingPictures(wrong, TRAIN, size, "cpu"), camera_at(track, size), config, None, 0, 0.005
    )
    for _ in range(config.steps):
        fitting.run_step()
    assert fitting.refinement is not None and fitting.refinement.frames.tolist() == TRAIN
    additions = fitting.refinement.additions.weight.detach()
    np.testing.assert_allclose(additions.mean(dim=0), 0.0, atol=1e-6)
    found = dict(zip(("expression", *POSES), (part.numpy() for part in split(additions)), strict=True))
    left = {name: getattr(wrong.track, name)[TRAIN] + found[name] - getattr(track, name)[TRAIN] for name in errors}
    sideways = np.abs(left["body_translation"][:, :2]).mean() / 0.0125
    exact, turned = track.head_pose[TRAIN, :3, :3], []
    for row, i in enumerate(TRAIN):
        body, neck, head = (
            Rotation.from_rotvec(getattr(wrong.track, name)[i] + found[name][row]) for name in POSES if "rot" in name
        )
        turned.append((body * neck * head * Rotation.from_matrix(exact[row]).inv()).magnitude())
    assert sideways < 0.5 and np.degrees(np.mean(turned)) < 4.0, (sideways, np.degrees(turned))


def test_held_out_frames_are_not_refined_and_the_label_says_so(tmp_path: Path) -> None:
    capture = actors.load("1")
    avatar = method(tmp_path / "on", steps="12", refine_track="true", refine_from="0.1", refine_lr="0.01")
    avatar.fit(capture.restricted(TRAIN), TRAIN)
    said, refined = avatar.describe()["flags"], avatar.describe()["refined_track"]
    assert isinstance(said, list) and "refined the track of its training frames" in said[0]
    assert isinstance(refined, dict) and refined["frames"] == 4 and refined["head_deg"] > 0.1
    shown = np.stack(list(avatar.render(capture.restricted(()), [0, 1200])))
    assert avatar._fitted is not None
    avatar._fitted["refinement.additions.weight"] += 1.0
    np.testing.assert_array_equal(np.stack(list(avatar.render(capture.restricted(()), [0, 1200]))), shown)
    plain = method(tmp_path / "off", steps="4")
    plain.fit(capture.restricted(TRAIN), TRAIN)
    assert not {"flags", "refined_track"} & set(plain.describe())
