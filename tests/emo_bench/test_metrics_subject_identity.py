"""Identity against frames of the subject: hand-made embeddings, and what a scoring without a subject says."""

from __future__ import annotations

import numpy as np
import pytest

from emo_bench.metrics import Scorer, Settings
from emo_bench.metrics.batch import Batch, Subject
from emo_bench.metrics.detectors import Face, FaceFinder
from emo_bench.metrics.identity import Embedding
from emo_bench.metrics.metric import Backend
from emo_bench.metrics.subject_identity import SubjectDistance, SubjectIdentity


class AnyFace:
    def detect(self, frame_u8: np.ndarray) -> Face | None:
        return None if not frame_u8.any() else Face(np.zeros((68, 2), np.float32))


class ByColour:
    """Embeds a frame as its mean colour: orthogonal colours are other people."""

    backend = Backend("by colour")

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> Embedding:
        return np.asarray(frame.mean(axis=(0, 1)), np.float64)


def people(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), colour, np.uint8) for colour in colours])


RED, GREEN, BOTH, NOBODY = (200, 0, 0), (0, 90, 0), (50, 50, 0), (0, 0, 0)


def scores(frames: np.ndarray, subject: np.ndarray) -> np.ndarray:
    metric = SubjectIdentity("cpu", FaceFinder(AnyFace()), ByColour(), Subject(lambda: subject))
    assert metric.conditions()["subject"] == f"mean over {len(subject)} recorded frames"
    return metric.score_batch(Batch(frames, None))


def test_another_person_loses_identity_whoever_the_driver_is() -> None:
    found = scores(people(RED, GREEN, BOTH, NOBODY), people(RED, RED))
    np.testing.assert_allclose(found[:3], [1.0, 0.0, np.sqrt(0.5)], atol=1e-12)
    assert np.isnan(found[3])


def test_it_is_the_mean_over_the_subjects_frames_that_show_a_face() -> None:
    found = scores(people(RED, GREEN), people(RED, BOTH, NOBODY))
    np.testing.assert_allclose(found, [(1 + np.sqrt(0.5)) / 2, np.sqrt(0.5) / 2])
    assert np.isnan(scores(people(RED), people(NOBODY))).all()


def test_distance_to_the_subject_is_the_mean_over_its_frames() -> None:
    metric = SubjectDistance("cpu", FaceFinder(AnyFace()), ByColour(), Subject(lambda: people(RED, BOTH)))
    found = metric.score_batch(Batch(people(RED, NOBODY), None))
    assert found[0] == pytest.approx(np.hypot(150, 50) / 2) and np.isnan(found[1])
    assert metric.info.direction == "lower"


def test_frames_without_a_run_have_no_subject() -> None:
    scorer = Scorer(("identity_to_subject",), settings=Settings())
    scorer.add(people(RED), None)
    (record,) = scorer.records()
    assert record.backend.name == "n/a" and record.frames_scored == 0
    assert SubjectIdentity.missing() is not None or "recorded frames of the avatar's person" in record.backend.detail


def test_the_subject_is_read_only_by_metrics_that_use_it() -> None:
    def refuses() -> np.ndarray:
        pytest.fail("read")

    scorer = Scorer(("brisque",), settings=Settings(subject=Subject(refuses)))
    scorer.add(np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8), None)
    assert scorer.table()["brisque"].notna().all()
