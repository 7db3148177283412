"""The split by head pose: what trains is turned little, what is held out is turned far, and nothing lies in both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.actors import load
from emo_bench.errors import UserError
from protocols import Protocol, SplitRule, load_protocol, split

PROTOCOL = load_protocol("extrapolation")
COUNT = 400


def of_angles(yaw: np.ndarray, pitch: np.ndarray, valid: np.ndarray | None = None, protocol: Protocol = PROTOCOL):  # type: ignore[no-untyped-def]
    frames = np.arange(len(yaw)) if valid is None else valid
    return split(protocol, len(yaw), frames.tolist(), None, np.stack([yaw, pitch], axis=1).tolist())


def with_rule(**changes: object) -> Protocol:
    rule = SplitRule(**{**PROTOCOL.splits["pose-500"].model_dump(), **changes})  # type: ignore[arg-type]
    return PROTOCOL.model_copy(update={"splits": {"pose-500": rule}})


def test_a_head_that_turns_evenly_is_divided_at_the_degrees() -> None:
    """Yaw -40, -39.8 ... 39.8: 18 degrees from the median trains, more than 20 is held out."""
    yaw = (np.arange(COUNT) - 200) * 0.2
    found = of_angles(yaw, np.zeros(COUNT))
    from_median = np.abs(yaw - np.median(yaw))
    assert list(found.train) == np.flatnonzero(from_median <= 18).tolist()
    assert list(found.test) == np.flatnonzero(from_median > 20).tolist()
    assert not found.guard and len(found.unused) == COUNT - len(found.train) - len(found.test)
    assert found.flags == (f"few turned heads: {len(found.test)} frames held out instead of 500",)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-20, 20), st.integers(0, 3), st.integers(20, 200))
def test_every_frame_is_where_its_pose_belongs(seed: int, offset: float, guard: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    # Slow turns, so that a guard in time leaves frames to train on.
    phases = np.arange(COUNT) / np.array([[100], [77]]) + rng.random((2, 1))
    yaw, pitch = offset + np.array([[35], [18]]) * np.sin(2 * np.pi * phases) + rng.normal(0, 0.5, (2, COUNT))
    valid = np.flatnonzero(rng.random(COUNT) < 0.9)
    found = of_angles(yaw, pitch, valid, with_rule(guard_frames=guard, held_out_frames=most))
    excess = np.maximum(np.abs(yaw - np.median(yaw[valid])) - 18, np.abs(pitch - np.median(pitch[valid])) - 10)
    train, test = np.array(found.train), np.array(found.test)
    assert (excess[train] <= 1e-9).all() and (excess[test] > 2 - 1e-9).all()
    assert len(test) == min(most, int((excess[valid] > 2).sum()))
    assert np.abs(np.subtract.outer(train, test)).min() > guard
    lists = (found.train, found.test, found.guard, found.unused, found.faceless)
    assert sorted(i for frames in lists for i in frames) == list(range(COUNT))


def test_held_out_frames_are_spread_over_the_video() -> None:
    for name in ("1", "4"):
        capture = load(name)
        found = split(PROTOCOL, len(capture), capture.valid_indices, None, capture.track.yaw_pitch_deg().tolist())
        assert len(found.test) == 500 and len(found.train) > 450 and not found.flags
        thirds = np.histogram(found.test, bins=3, range=(0, len(capture)))[0]
        assert thirds.min() > 100


def test_a_head_that_never_turns_is_refused() -> None:
    with pytest.raises(UserError, match="in only 0 frames of the video; split pose-500 needs 20"):
        of_angles(np.zeros(COUNT), np.zeros(COUNT))
    with pytest.raises(UserError, match="divides by head pose, and here none is known"):
        split(PROTOCOL, COUNT, range(COUNT))
