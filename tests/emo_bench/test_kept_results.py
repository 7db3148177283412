"""Faces and embeddings of recorded frames are found once, and a score from them is the same to its last bit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emo_bench import actors
from emo_bench.actors.kept_folders import kept_bytes, kept_folders
from emo_bench.files import open_in_place, try_lock
from emo_bench.metrics import Batch, Scorer, detectors, identity, kept
from emo_bench.metrics.detectors import Face, FaceFinder, open_detector
from emo_bench.metrics.identity import ArcFace, IdentitySimilarity
from emo_bench.metrics.kept import Keeping, KeptResults
from emo_bench.metrics.metric import Backend
from emo_bench.runs.frame_scoring import ScoreRequest, score_request
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.recorded import kept_results
from emo_bench.runs.runner import make_runs
from emo_bench.tracking.landmarks import Landmarker

METRICS = ("flmd", "expression_error", "pose_error_deg")
ABOUT = {"network": "one", "processor": "here"}


class Dots:
    """A detector whose landmarks are made of the frame's pixels; a black frame has no face."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def detect(self, frame_u8: np.ndarray) -> Face | None:
        self.frames.append(int(frame_u8[0, 0, 0]))
        if not frame_u8.any():
            return None
        points = np.sqrt(frame_u8.reshape(-1)[:136].astype(np.float32) + frame_u8[0, 0, 0]).reshape(68, 2)
        return Face(points, expression=points[:52, 0] / 3)


def finder(about: Mapping[str, str] = ABOUT) -> tuple[FaceFinder, Dots]:
    dots = Dots()
    return FaceFinder(dots, Backend("dots"), about), dots


def frames_of(*numbers: int) -> np.ndarray:
    """Frames of 8 px that differ; number 0 is black."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return np.stack([np.full_like(noise, n) if n == 0 else (noise // 2 + n).astype(np.uint8) for n in numbers])


def found(folders: list[Path], reference: np.ndarray, about: Mapping[str, str] = ABOUT) -> tuple[list[Any], int]:
    """The faces as one process would find them, which keeps them in the folders, and the number of detections."""
    faces_of, dots = finder(about)
    place = KeptResults(folders)
    faces = faces_of.faces(Batch(reference, reference, kept=place), "reference")
    place.save()
    return faces, len(dots.frames)


def same(one: list[Face | None], other: list[Face | None]) -> bool:
    return all(
        (x is None and y is None)
        or (
            x is not None
            and y is not None
            and x.landmarks68.tobytes() == y.landmarks68.tobytes()
            and x.landmarks68.dtype == y.landmarks68.dtype
            and (x.expression is None) == (y.expression is None)
            and (x.expression is None or y.expression is None or x.expression.tobytes() == y.expression.tobytes())
        )
        for x, y in zip(one, other, strict=True)
    )


def test_a_later_process_detects_only_the_frames_that_are_new(tmp_path: Path) -> None:
    reference = frames_of(1, 2, 0, 3)
    _, first = found([tmp_path], reference[:2])
    faces, more = found([tmp_path], reference)
    again, none = found([tmp_path], reference[::-1])
    fresh = finder()[0].faces(Batch(reference, reference), "reference")
    assert (first, more, none) == (2, 2, 0)
    assert same(faces, fresh)
    assert same(again[::-1], fresh)
    assert faces[2] is None
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == ["", ".npz"]


def test_only_the_reference_is_kept(tmp_path: Path) -> None:
    faces_of, _ = finder()
    place = KeptResults([tmp_path])
    faces_of.faces(Batch(frames_of(1), frames_of(2), kept=place), "frames")
    place.save()
    assert not list(tmp_path.glob("*.npz"))


def test_faces_that_this_process_knows_already_are_kept_too(tmp_path: Path) -> None:
    faces_of, dots = finder()
    reference = frames_of(1, 2)
    faces_of.faces(Batch(reference, reference), "reference")
    place = KeptResults([tmp_path])
    faces_of.faces(Batch(reference, reference, kept=place), "reference")
    place.save()
    assert len(dots.frames) == 2
    assert found([tmp_path], reference)[1] == 0


@pytest.mark.parametrize("key", ["network", "processor"])
def test_other_weights_or_another_processor_find_nothing(tmp_path: Path, key: str) -> None:
    found([tmp_path], frames_of(1, 2))
    assert found([tmp_path], frames_of(1, 2), {**ABOUT, key: "other"})[1] == 2


def test_a_frame_that_changed_in_one_pixel_is_detected_again(tmp_path: Path) -> None:
    reference = frames_of(1, 2)
    found([tmp_path], reference)
    reference[1, 4, 4, 2] ^= 1
    assert found([tmp_path], reference)[1] == 1


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def forge(path: Path) -> None:
    """A file whose array needs pickle."""
    np.savez(path, about=np.array([{}], dtype=object), frames=np.zeros((1, 32), np.uint8), face=np.ones(1, bool))


def swap(path: Path) -> None:
    """A sound archive in which two landmarks have changed places."""
    with np.load(path) as archive:
        content = dict(archive)
    content["landmarks68"] = content["landmarks68"][:, ::-1]
    np.savez(path, **content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(flip(path.read_bytes())),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        forge,
        swap,
    ],
    ids=["one bit", "cut", "empty", "pickle", "swapped"],
)
def test_a_damaged_file_is_noticed_and_written_anew(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    reference = frames_of(1, 2, 3)
    found([tmp_path], reference)
    (path,) = tmp_path.glob("*.npz")
    damage(path)
    with caplog.at_level(logging.WARNING, "emo_bench"):
        faces, count = found([tmp_path], reference)
    assert f"{path} is damaged" in caplog.text
    assert count == 3
    assert same(faces, finder()[0].faces(Batch(reference, reference), "reference"))
    caplog.clear()
    assert found([tmp_path], reference)[1] == 0
    assert not caplog.text


def test_a_folder_that_cannot_be_written_is_replaced_by_the_next_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    assert found([blocked / "detections", tmp_path / "home"], frames_of(1, 2))[1] == 2
    assert found([blocked / "detections", tmp_path / "home"], frames_of(1, 2))[1] == 0
    assert not caplog.text
    assert found([blocked / "detections"], frames_of(1, 2))[1] == 2
    assert "faces of recorded frames are not kept" in caplog.text
    assert blocked.read_text() == "a file where the folder should be"


def test_two_processes_at_once_keep_the_frames_of_both(tmp_path: Path) -> None:
    places = [KeptResults([tmp_path]), KeptResults([tmp_path])]
    for place, number in zip(places, (1, 2), strict=True):
        finder()[0].faces(Batch(frames_of(number), frames_of(number), kept=place), "reference")
    for place in places:
        place.save()
    assert found([tmp_path], frames_of(1, 2))[1] == 0


def test_a_lock_that_is_not_given_up_costs_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOCK_SECONDS", 0.05)
    with open_in_place(tmp_path / kept.LOCK, "ab") as file:
        assert try_lock(file)
        assert found([tmp_path], frames_of(1))[1] == 1
    assert "locked by another process" in caplog.text


def test_a_file_holds_the_latest_frames_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_FRAMES", 3)
    found([tmp_path], frames_of(1, 2))
    found([tmp_path], frames_of(3, 4))
    assert found([tmp_path], frames_of(2, 3, 4))[1] == 0
    assert found([tmp_path], frames_of(1))[1] == 1


@given(
    values=arrays(np.float32, (3, 68, 2), elements=st.floats(width=32)),
    matrices=arrays(np.float32, (3, 4, 4), elements=st.floats(width=32)),
)
def test_every_bit_of_a_face_is_kept(
    values: np.ndarray, matrices: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    keeping = finder()[0].keeping
    assert keeping is not None
    place = KeptResults([folder])
    for number in range(3):
        place.recall(keeping, bytes([number] * 32), lambda n=number: Face(values[n], None, matrices[n]))  # type: ignore[misc]
    place.save()

    def missing() -> Face | None:
        raise AssertionError("it was kept")

    for number in range(3):
        face = KeptResults([folder]).recall(keeping, bytes([number] * 32), missing)
        assert face is not None
        assert face.landmarks68.tobytes() == values[number].tobytes()
        assert face.matrix is not None
        assert face.matrix.tobytes() == matrices[number].tobytes()
        assert face.expression is None


class Pixels(ArcFace):
    """An embedder that needs no weights."""

    def __init__(self) -> None:
        self.backend, self.count = Backend("pixels"), 0

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        self.count += 1
        return np.asarray(np.sqrt(frame.reshape(-1)[:16].astype(np.float64)) + landmarks[0, 0])


def test_embeddings_are_kept_for_their_detector(tmp_path: Path) -> None:
    reference, frames = frames_of(1, 0, 2), frames_of(3, 4, 0)

    def score(about: Mapping[str, str], folders: list[Path]) -> tuple[np.ndarray, int]:
        embedder, place = Pixels(), KeptResults(folders)
        metric = IdentitySimilarity(detector=finder(about)[0], embedder=embedder)
        scores = metric.score_batch(Batch(frames, reference, kept=place))
        place.save()
        return scores, embedder.count

    fresh, _ = score(ABOUT, [])
    first, counted = score(ABOUT, [tmp_path])
    second, fewer = score(ABOUT, [tmp_path])
    _, other_faces = score({**ABOUT, "network": "other"}, [tmp_path])
    assert (counted, fewer, other_faces) == (4, 2, 4)
    assert fresh.tobytes() == first.tobytes() == second.tobytes()


def test_scores_by_mediapipe_are_equal_with_and_without_kept_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = np.stack(list(actors.load("1").frames(range(0, 40, 10), size=128)))
    frames = np.roll(reference, 2, axis=2)
    detected: list[int] = []
    detect = Landmarker.detect

    def counted(self: Landmarker, frame: np.ndarray) -> Any:
        detected.append(1)
        return detect(self, frame)

    monkeypatch.setattr(Landmarker, "detect", counted)

    def score(place: KeptResults | None) -> tuple[bytes, int]:
        open_detector.cache_clear()
        detected.clear()
        scorer = Scorer(METRICS, kept=place)
        for start in (0, 2):
            scorer.add(frames[start : start + 2], reference[start : start + 2])
        if place is not None:
            place.save()
        return scorer.table().to_numpy().tobytes(), len(detected)

    fresh, all_frames = score(None)
    first, _ = score(KeptResults([tmp_path]))
    second, only_ours = score(KeptResults([tmp_path]))
    assert (all_frames, only_ours) == (8, 4)
    assert fresh == first == second


def test_a_run_keeps_the_faces_beside_the_users_capture(
    actor: str, actor_home: Path, tmp_path: Path, quick_protocol_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A home of its own: other tests keep faces of this actor too.
    home = tmp_path / "home"
    shutil.copytree(actor_home / "captures", home / "captures", ignore=shutil.ignore_patterns("detections"))
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    protocol = tmp_path / "faces.toml"
    protocol.write_text(quick_protocol_text.replace('"sd"]', '"flmd"]').replace('"quick"', '"faces"'))
    detected: list[int] = []
    monkeypatch.setattr(Landmarker, "detect", lambda self, frame: detected.append(1))
    counts = []
    for seed in (0, 1):
        open_detector.cache_clear()
        detected.clear()
        request = RunRequest("nearest-frame", actor, str(protocol), seed=seed, runs_dir=tmp_path / "runs", device="cpu")
        made = make_runs(request, trivial=False)
        counts.append(len(detected))
    open_detector.cache_clear()
    detected.clear()
    score_request(ScoreRequest(made.run, metrics=("flmd",)))
    assert 0 < len(detected) <= counts[1]
    open_detector.cache_clear()
    (file,) = (home / "captures" / actor / "detections").glob("faces-*.npz")
    with np.load(file) as archive:
        assert archive["frames"].shape == (12, 32)
    assert counts[0] - counts[1] == 12
    assert kept_bytes(actors.load(actor)) >= file.stat().st_size


def test_where_results_are_kept(actor: str, actor_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_home = actor_home / "detections"
    own = actors.load(actor)
    assert kept_folders(own) == (own.folder / "detections", in_home / actor)
    assert kept_folders(actors.load("1")) == (in_home / "1",)
    monkeypatch.setenv("EMO_BENCH_NO_CACHE", "1")
    assert kept_folders(own) == ()
    with kept_results(own) as place:
        assert place is None


def test_what_a_face_depends_on_is_in_its_file() -> None:
    open_detector.cache_clear()
    keeping = open_detector("mediapipe", "cpu").keeping
    assert isinstance(keeping, Keeping)
    about = keeping.about
    assert about["sha256"] == open_detector("mediapipe", "cpu").backend.sha256
    assert about["detail"].startswith("mediapipe ")
    assert {"processor", "numpy", "emo_bench", detectors.__name__, "emo_bench.tracking.landmarks"} <= about.keys()
    assert identity._memory(Pixels(), FaceFinder(Dots()))._keeping is None


def test_faces_of_fan_are_kept_for_the_instructions_that_torch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    file = SimpleNamespace(sha256="5" * 64, path=Path("weights.pth"))
    monkeypatch.setattr(detectors, "FANDetector", lambda device: object())
    monkeypatch.setattr(detectors, "version", lambda package: "1.5")
    monkeypatch.setattr(detectors.assets, "require", lambda name: file)
    names = []
    for instructions in ("AVX512", "AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda found=instructions: found)
        keeping = detectors._open_fan("cpu").keeping
        assert keeping is not None
        names.append(keeping.file_name)
    assert names[0] == names[2] != names[1]
