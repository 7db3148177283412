"""Scores of different kinds are refused, with the field that differs."""

from __future__ import annotations

import numpy as np
import pytest

from emo_bench.errors import UserError
from emo_bench.metrics import Scorer
from emo_bench.metrics.comparability import difference, kind, require_comparable

RNG = np.random.default_rng(0)


def record(size: int = 24, **how: str) -> dict[str, object]:
    frames = RNG.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    scorer = Scorer(("psnr",), **how)  # type: ignore[arg-type]
    scorer.add(frames, frames[::-1].copy())
    return scorer.records()[0].as_dict()


def test_scores_of_one_kind_pass_whatever_their_number() -> None:
    first, second = record(), {**record(), "frames_scored": 1, "frames_dropped": [0]}
    assert kind(first) == kind(second)
    assert difference(first, second) is None
    require_comparable([first, second, record()])
    require_comparable([])


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (lambda: record(32), "resolution"),
        (lambda: record(background="white"), "background"),
        (lambda: record(resize_filter="area"), "resize_filter"),
        (lambda: {**record(), "version": "2"}, "version"),
        (lambda: {**record(), "region": "foreground"}, "region"),
        (lambda: {**record(), "backend": {"name": "other", "sha256": None}}, "backend name"),
        (lambda: {**record(), "backend": {**record()["backend"], "sha256": "0"}}, "backend sha256"),  # type: ignore[dict-item]
    ],
)
def test_a_difference_is_refused_by_name(other, field: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=field):
        require_comparable([record(), other()])
