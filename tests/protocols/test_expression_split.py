"""The split by expression: the mouth is nearly shut in what trains and wide open in what is held out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.actors import load
from emo_bench.errors import UserError
from emo_bench.runs.pairs import split_of
from emo_bench.tracking.head_rig import EXPRESSIONS
from protocols import Protocol, Split, SplitRule, load_protocol, split

PROTOCOL = load_protocol("extrapolation_expression")
WITHIN, MARGIN = 0.2, 0.04
COUNT = 400


def of_openings(opening: np.ndarray, valid: np.ndarray | None = None, protocol: Protocol = PROTOCOL) -> Split:
    frames = np.arange(len(opening)) if valid is None else valid
    return split(protocol, len(opening), frames.tolist(), None, None, opening.tolist())


def with_rule(**changes: object) -> Protocol:
    rule = SplitRule(**{**PROTOCOL.splits["jaw-200"].model_dump(), **changes})  # type: ignore[arg-type]
    return PROTOCOL.model_copy(update={"splits": {"jaw-200": rule}})


def test_a_mouth_that_opens_evenly_is_divided_at_the_bounds() -> None:
    """Openings 0, 1/512 ... 399/512 are exact: 0.2 lies after frame 102, 0.24 after frame 122."""
    found = of_openings(np.arange(COUNT) / 512)
    assert found.train == tuple(range(103))
    assert found.unused == tuple(sorted({*range(103, 123), *set(range(123, COUNT)) - set(found.test)}))
    assert len(found.test) == 200 and found.test[0] == 123 and not found.guard and not found.flags


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(20, 200), st.none() | st.integers(10, 90))
def test_every_frame_is_where_its_opening_belongs(seed: int, guard: int, most: int, trained: int | None) -> None:
    rng = np.random.default_rng(seed)
    # Syllables: the mouth opens and closes, and some frames have no face.
    opening = np.clip(0.3 * np.sin(np.arange(COUNT) / 9 + rng.random() * 6) + rng.normal(0.1, 0.02, COUNT), 0, 1)
    valid = np.flatnonzero(rng.random(COUNT) < 0.9)
    protocol = with_rule(guard_frames=guard, held_out_frames=most, train_frames_at_most=trained)
    found = of_openings(opening, valid, protocol)
    train, test = np.array(found.train), np.array(found.test)
    assert opening[train].max() <= WITHIN < WITHIN + MARGIN - 1e-9 < opening[test].min()
    assert len(test) == min(most, int((opening[valid] > WITHIN + MARGIN).sum()))
    assert np.abs(np.subtract.outer(train, test)).min() > guard
    assert trained is None or len(train) <= trained
    lists = (found.train, found.test, found.guard, found.unused, found.faceless)
    assert sorted(i for frames in lists for i in frames) == list(range(COUNT))
    assert of_openings(opening, rng.permutation(valid), protocol) == found, "the order does not matter"


@pytest.mark.parametrize("name", ["1", "4"])
@pytest.mark.parametrize(
    "protocol", ["extrapolation_expression", "extrapolation_expression-mini", "extrapolation-mini"]
)
def test_bundled_actors_have_enough_frames_on_both_sides(name: str, protocol: str) -> None:
    capture, rules = load(name), load_protocol(protocol)
    found = split_of(rules, capture, None)
    opening = capture.track.expression[:, EXPRESSIONS.index("jawOpen")]
    if protocol.startswith("extrapolation_"):
        assert opening[list(found.train)].max() <= WITHIN and opening[list(found.test)].min() > WITHIN + MARGIN
    wanted = rules.rule(None)[1]
    assert len(found.test) == wanted.held_out_frames and not found.flags
    assert len(found.train) == (wanted.train_frames_at_most or len(found.train)) and len(found.train) > 90
    thirds = np.histogram(found.test, bins=3, range=(0, len(capture)))[0]
    assert thirds.min() > len(found.test) / 6, "the held-out frames are spread over the video"


def test_few_open_mouths_are_said_and_none_is_refused() -> None:
    opening = np.where(np.arange(COUNT) % 10 == 0, 0.5, 0.1)
    found = of_openings(opening)
    assert found.flags == ("few frames with jawOpen above 0.24: 40 frames held out instead of 200",)
    with pytest.raises(
        UserError, match=r"jawOpen is above 0\.24 in only 0 frames of the video; split jaw-200 needs 20"
    ):
        of_openings(np.full(COUNT, 0.1))
    with pytest.raises(UserError, match="leaves no frame to train on"):
        of_openings(np.full(COUNT, 0.9))
    with pytest.raises(UserError, match="divides by jawOpen, and here it is not known"):
        split(PROTOCOL, COUNT, range(COUNT))


def test_another_coefficient_may_divide_and_a_wrong_name_is_told() -> None:
    capture = load("1")
    smile = with_rule(coefficient="mouthSmileLeft", within=0.1, margin=0.0)
    found = split_of(smile, capture, None)
    values = capture.track.expression[:, EXPRESSIONS.index("mouthSmileLeft")]
    assert values[list(found.train)].max() <= 0.1 < values[list(found.test)].min()
    with pytest.raises(UserError, match="'jawOpne' is none of ARKit's 52 expression coefficients: did you mean jawOp"):
        split_of(with_rule(coefficient="jawOpne"), capture, None)
