"""The bundled truth clips: they are those of the protocols, and broken avatars lose the metric that should see it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas
import pytest
from scipy.spatial.transform import Rotation

from emo_bench import actors
from emo_bench.metrics import Settings
from emo_bench.metrics.detectors import missing_detector
from emo_bench.runs.applied_protocol import apply_protocol
from emo_bench.runs.pairs import subject_of
from emo_bench.runs.run_scorer import FrameBatch, RunScorer
from emo_bench.runs.truth import Pictures, Truth
from emo_bench.runs.truth_clip import open_truth, truth_file
from protocols import load_protocol

OPEN = ("jawOpen", "mouthFunnel", "mouthPucker", "mouthLowerDownLeft", "mouthUpperUpLeft")
FRAMES = tuple(range(1000, 1200))
needs_mediapipe = pytest.mark.skipif(missing_detector("mediapipe") is not None, reason="no face_landmarker.task here")


@pytest.mark.parametrize("name", ["cross_reenactment", "cross_reenactment-mini"])
def test_every_listed_pair_has_the_clip_of_the_protocol(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.driving is not None and len(protocol.driving.pairs) == 8
    for pair in protocol.driving.pairs:
        file = truth_file(f"{pair.subject}-by-{pair.driver}")
        assert hashlib.sha256(file.read_bytes()).hexdigest() == pair.truth_sha256
        applied = apply_protocol(protocol, actors.load(pair.subject), None, pair.driver)
        assert applied.truth.pictures is not None, applied.truth.reason
    total = sum(file.stat().st_size for file in truth_file("").parent.glob("truth-*.mp4"))
    assert total < 4e6, "they ship with the package"


@pytest.mark.parametrize("name", ["novel_view", "novel_view-mini"])
def test_the_clips_of_views_are_those_of_the_protocol(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.views is not None and sorted(protocol.views.truth_sha256) == ["1", "2", "3", "4"]
    for actor in protocol.views.truth_sha256:
        applied = apply_protocol(protocol, actors.load(actor))
        assert applied.views_clip is not None
        assert len(applied.split.test) == 3 * protocol.views.frames


def read(source: Pictures, wanted: Sequence[int]) -> list[np.ndarray]:
    """The pictures with these numbers; a frame may be wanted twice."""
    ascending = sorted(set(wanted))
    found = dict(zip(ascending, source.frames(ascending), strict=True))
    return [found[i] for i in wanted]


def scored(numbers: Sequence[int], rendered: list[np.ndarray]) -> pandas.Series:
    """The means of an avatar of actor 1 driven by these frames of actor 2."""
    protocol = load_protocol("cross_reenactment")
    metrics = ("mouth_correlation", "pose_change_error_deg", "identity_to_subject")
    scoring = protocol.scoring.model_copy(update={"metrics": metrics, "truth_metrics": ("psnr", "flmd")})
    protocol = protocol.model_copy(update={"scoring": scoring})
    own, driver, truth = actors.load("1"), actors.load("2"), open_truth(truth_file("1-by-2"))
    settings = Settings(subject=subject_of(own, range(900), 256))
    scorer = RunScorer(protocol, settings, 256, driver, Truth(truth))
    scorer.add(FrameBatch(numbers, rendered, read(driver, numbers), read(truth, numbers)))
    return scorer.table().mean()


def turns_of(name: str) -> Rotation:
    """How far the head is turned from its mean, in every frame."""
    pose = Rotation.from_matrix(actors.load(name).track.head_pose[:, :3, :3].astype(np.float64))
    return pose.mean().inv() * pose


def nearest(turns: Rotation, wanted: Rotation, among: Sequence[int]) -> list[int]:
    """For each wanted turn the nearest frame among some."""
    return [among[int((turns[list(among)].inv() * turn).magnitude().argmin())] for turn in wanted]


@needs_mediapipe
def test_a_frozen_mouth_and_a_stranger_lose_the_metric_that_should_see_them() -> None:
    """The broken avatars show other true pictures: with a shut mouth in the nearest pose, or of another actor."""
    numbers, turns, truth = list(FRAMES[::8]), turns_of("2"), open_truth(truth_file("1-by-2"))
    opened = np.sum([actors.load("2").track.coefficient(name) for name in OPEN], axis=0)
    good = scored(numbers, read(truth, [min(i + 1, FRAMES[-1]) for i in numbers]))
    assert good["mouth_correlation"] > 0.8 and good["pose_change_error_deg"] < 4.0

    shut = [i for i in FRAMES if opened[i] < 0.05]
    frozen = scored(numbers, read(truth, nearest(turns, turns[numbers], shut)))
    assert frozen["mouth_correlation"] < good["mouth_correlation"] - 0.4
    assert frozen["flmd"] > good["flmd"]

    stranger = scored(numbers, read(open_truth(truth_file("3-by-2")), numbers))
    assert stranger["identity_to_subject"] < good["identity_to_subject"]
    assert stranger["psnr"] < good["psnr"] - 5 and stranger["flmd"] > good["flmd"]
    assert stranger["mouth_correlation"] > frozen["mouth_correlation"] + 0.2, "another face says the same words"


@needs_mediapipe
def test_doubled_head_motion_loses_the_metrics_that_should_see_it() -> None:
    """Both avatars show recorded frames of actor 1: those nearest to the driver's turn, and to twice this turn."""
    turns, own = turns_of("2"), turns_of("1")
    numbers = [i for i in FRAMES[::3] if np.degrees(turns[i].magnitude()) < 17]
    assert len(numbers) > 12
    once, twice = (
        scored(numbers, read(actors.load("1"), nearest(own, wanted, range(len(own)))))
        for wanted in (turns[numbers], Rotation.from_rotvec(2 * turns[numbers].as_rotvec()))
    )
    assert twice["pose_change_error_deg"] > once["pose_change_error_deg"] + 1.5
    assert twice["flmd"] > 1.5 * once["flmd"] and twice["psnr"] < once["psnr"]
