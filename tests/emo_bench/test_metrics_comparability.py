"""Scores of different kinds, or measured on different things, are refused, with the field that differs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.errors import UserError
from emo_bench.metrics import Backend, Captions, Scorer, Settings
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.comparability import AGAIN, difference, kind, require_comparable
from emo_bench.metrics.identity import IdentitySimilarity
from emo_bench.metrics.inputs import selection
from emo_bench.metrics.metric import Metric, MetricInfo, Scores

VIDEO = np.random.default_rng(0).integers(0, 256, (10, 24, 24, 3), dtype=np.uint8)
TRUTH = VIDEO[::-1].copy()
NEW_FIELDS = ("frames", "reference_sha256", "masks_sha256", "captions", "conditions")


def record(
    metric: str = "psnr",
    *,
    frames: np.ndarray = VIDEO,
    reference: np.ndarray | None = TRUTH,
    region: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    indices: Any = (),
    **how: Any,
) -> dict[str, Any]:
    """The record of one scoring, in batches of four frames."""
    scorer = Scorer((metric,), region="full frame" if region is None else "foreground", **how)
    for start in range(0, len(frames), 4):
        part = slice(start, start + 4)
        scorer.add(
            frames[part],
            None if reference is None else reference[part],
            indices[part],
            None if region is None else region[part],
            None if masks is None else masks[part],
        )
    return scorer.records()[0].as_dict()


def without_new_fields(found: dict[str, Any]) -> dict[str, Any]:
    """A record as an older emo-bench wrote it."""
    return {key: value for key, value in found.items() if key not in (*NEW_FIELDS, "undefined")}


def test_scores_of_one_kind_pass_whatever_their_number() -> None:
    first, second = record(), {**record(), "frames_scored": 1, "frames_dropped": [0]}
    assert kind(first) == kind(second)
    assert difference(first, second) is None
    require_comparable([first, second, record()])
    require_comparable([])


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (lambda: record(frames=VIDEO[:, :20, :20], reference=TRUTH[:, :20, :20]), "resolution"),
        (lambda: record(background="white"), "background"),
        (lambda: record(resize_filter="area"), "resize_filter"),
        (lambda: {**record(), "version": "2"}, "version"),
        (lambda: {**record(), "region": "foreground"}, "region"),
        (lambda: {**record(), "backend": {"name": "other", "sha256": None}}, "backend name"),
        (lambda: {**record(), "backend": {**record()["backend"], "sha256": "0"}}, "backend sha256"),
        (lambda: {**record(), "conditions": {"flow": "of the frames"}}, "flow: None and 'of the frames'"),
        (lambda: record(reference=VIDEO), "reference frames"),
        (lambda: record(frames=VIDEO[::5], reference=TRUTH[::5], indices=range(0, 10, 5)), "frames: '0-9' and '0,5'"),
    ],
)
def test_a_difference_is_refused_by_name(other: Any, field: str) -> None:
    with pytest.raises(UserError, match=field):
        require_comparable([record(), other()])


def test_the_flow_of_the_warping_error_is_compared() -> None:
    along_reference, along_frames = record("warping_error"), record("warping_error", reference=None)
    gap = difference(along_reference, along_frames)
    assert gap == "flow: 'of the reference' and 'of the frames'"
    assert kind(along_reference) != kind(along_frames)
    assert "reference frames" in str(difference(along_reference, record("warping_error", reference=VIDEO)))


def test_identity_by_other_landmarks_is_compared() -> None:
    class Finder:
        def __init__(self, name: str) -> None:
            self.backend, self.keeping = Backend(name, "0" * 64), None

    class Embedder:
        backend = Backend("embedder")

    found = [IdentitySimilarity("cpu", Finder(name), Embedder()).conditions() for name in ("fan", "dlib")]  # type: ignore[arg-type]
    gap = difference(*({**record(), "conditions": dict(conditions)} for conditions in found))
    assert gap is not None and gap.startswith("faces: 'fan, SHA-256 000") and "'dlib, SHA-256 000" in gap


class Told(Metric):
    """Stands in for a CLIP metric: it says which captions it uses."""

    info = MetricInfo("told", "1", "Told", "higher", "1", captions=("target",))
    backend = Backend("none")

    def score_batch(self, batch: Batch) -> Scores:
        return np.zeros(len(batch))


def test_only_the_captions_that_a_metric_uses_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    from emo_bench.metrics import scoring

    monkeypatch.setattr(scoring, "metric_class", lambda name: Told)

    def told(source: str, target: str) -> dict[str, Any]:
        return record("told", settings=Settings(captions=Captions(source, target)))

    bronze, clay = told("a man", "a bronze statue of a man"), told("a man", "a clay bust of a man")
    gap = difference(bronze, clay)
    assert gap == (
        "captions of the edit: {'target': 'a bronze statue of a man'} and {'target': 'a clay bust of a man'}"
    )
    assert kind(bronze) == kind(clay), "the styles of a table have different captions"
    assert difference(bronze, told("a woman", "a bronze statue of a man")) is None, "the source is not used"


def test_the_clip_metrics_name_their_captions() -> None:
    from emo_bench.metrics.registry import known_ids, metric_class

    named = {name: metric_class(name).info.captions for name in known_ids() if name.startswith("clip_")}
    assert {name: captions for name, captions in named.items() if captions} == {
        "clip_d": ("source", "target"),
        "clip_d-judge": ("source", "target"),
        "clip_text": ("target",),
    }


def test_masks_count_only_where_they_are_used() -> None:
    left, right = np.zeros((2, 10, 24, 24), bool)
    left[:, :, :12], right[:, :, 12:] = True, True
    assert "masks" in str(difference(record(region=left), record(region=right)))
    assert difference(record(region=left), record(region=left)) is None
    # ssim-whole takes no region, so the masks change nothing.
    assert difference(record("ssim-whole", region=left), record("ssim-whole", region=right)) is None
    # Masks of a background change every metric.
    laid = [record("ssim-whole", background="white", masks=masks) for masks in (left, right)]
    assert "masks" in str(difference(*laid))


def test_frames_count_without_a_reference_and_their_names_do_not_with_one() -> None:
    every, fifth = (record("brisque", reference=None, frames=v, indices=i) for v, i in _selections())
    assert difference(every, fifth) == "frames: '0-9' and '0,5'"
    names = [f"frame_{i:04d}" for i in range(1, 11)]
    assert difference(record(), record(indices=names)) is None, "the same reference frames"
    assert difference(record("niqe", reference=VIDEO), record("niqe", reference=TRUTH)) is None, "niqe has no reference"


def _selections() -> list[tuple[np.ndarray, Any]]:
    return [(VIDEO, range(10)), (VIDEO[::5], range(0, 10, 5))]


def test_a_record_of_an_older_version_is_compared_only_with_its_like() -> None:
    old, new = without_new_fields(record()), record()
    assert difference(old, dict(old)) is None
    assert kind(old) == kind(dict(old)) != kind(new)
    for pair in ((old, new), (new, old)):
        assert AGAIN in str(difference(*pair)) and "score again" in AGAIN
    with pytest.raises(UserError, match="score again"):
        require_comparable([old, new])


def test_the_digest_is_that_of_the_reference_in_order() -> None:
    """Computed again here: the SHA-256 of the frames' SHA-256 sums, each of shape and pixels."""
    sums = [hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).digest() for frame in TRUTH]
    assert record()["reference_sha256"] == hashlib.sha256(b"".join(sums)).hexdigest()
    assert record("niqe")["reference_sha256"] is None


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], ""),
        ([7], "7"),
        (range(500), "0-499"),
        (range(0, 500, 5), "0-495/5"),
        ([1, 2, 3, 7], "1-3,7"),
        ([f"f_{i:03d}" for i in range(1, 5)], "1-4"),
        ([3, 2, 1], "3 from 3 to 1, SHA-256 "),
        (["anna", "ben"], "2 from anna to ben, SHA-256 "),
    ],
)
def test_the_selection_of_frames_as_text(frames: Any, text: str) -> None:
    found = selection(frames)
    assert found.startswith(text) and (found == text) == ("SHA-256" not in text)


@given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60), min_size=1))
def test_other_frames_have_another_selection(one: set[int], other: set[int]) -> None:
    assert (selection(sorted(one)) == selection(sorted(other))) == (one == other)
