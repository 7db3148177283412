"""Splits: laws that hold for every capture, and the two splits of the paper's protocol on real lengths."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from emo_bench.errors import UserError
from protocols import Protocol, Split, load_protocol, split
from protocols.loader import Scoring, SplitRule
from protocols.splitting import _guarded, format_frames, parse_frames

PAPER = load_protocol("self_reenactment")


@st.composite
def rules(draw: st.DrawFn) -> SplitRule:
    kind = draw(st.sampled_from(["tail", "random"]))
    return SplitRule(
        kind=kind,
        held_out_frames=draw(st.integers(1, 15)),
        guard_frames=draw(st.integers(0, 4)),
        seed=draw(st.integers(0, 2**32)) if kind == "random" else None,
        train_frames_at_most=draw(st.none() | st.integers(1, 30)),
    )


def protocol_of(rule: SplitRule) -> Protocol:
    scoring = Scoring(metrics=("psnr",), reference_resize="area", region="full frame", background="as filmed")
    return Protocol(
        name="law", version=1, title="", source="", task="self-reenactment", mini=True, default_split="only",
        minimum_frames=4, short_below_frames=20, short_share=0.2, splits={"only": rule}, scoring=scoring,
    )  # fmt: skip


captures = st.integers(4, 150).flatmap(
    lambda length: st.tuples(
        st.just(length), st.sets(st.integers(0, length - 1), min_size=min(length, 4), max_size=length)
    )
)


def split_or_none(rule: SplitRule, length: int, valid: list[int]) -> Split | None:
    try:
        return split(protocol_of(rule), length, valid)
    except UserError as error:
        assert "no frame to train on" in str(error)  # noqa: PT017 - the only refusal that these captures allow
        return None


@given(rules(), captures)
def test_every_frame_is_in_exactly_one_list(rule: SplitRule, capture: tuple[int, set[int]]) -> None:
    length, valid = capture
    made = split_or_none(rule, length, list(valid))
    if made is None:
        return
    lists = (made.train, made.test, made.guard, made.unused, made.faceless)
    assert sorted(frame for frames in lists for frame in frames) == list(range(length))
    assert all(list(frames) == sorted(frames) for frames in lists)
    assert set(made.faceless) == set(range(length)) - valid


@given(rules(), captures)
def test_training_keeps_its_distance_from_what_is_held_out(rule: SplitRule, capture: tuple[int, set[int]]) -> None:
    length, valid = capture
    made = split_or_none(rule, length, list(valid))
    if made is None:
        return
    assert made.train
    assert made.test
    assert min(abs(a - b) for a in made.train for b in made.test) > rule.guard_frames
    assert len(made.train) <= (rule.train_frames_at_most or length)
    if len(valid) >= 20:
        assert len(made.test) == rule.held_out_frames
        assert not any("short" in flag for flag in made.flags)
    else:
        assert any("short capture" in flag for flag in made.flags)


@given(rules(), captures, st.randoms())
def test_same_frames_same_split_in_whatever_order(
    rule: SplitRule, capture: tuple[int, set[int]], shuffler: random.Random
) -> None:
    length, valid = capture
    shuffled = list(valid)
    shuffler.shuffle(shuffled)
    assert split_or_none(rule, length, sorted(valid)) == split_or_none(rule, length, shuffled)


@given(st.sets(st.integers(0, 5000)))
def test_frame_lists_survive_as_text(frames: set[int]) -> None:
    assert parse_frames(format_frames(sorted(frames))) == tuple(sorted(frames))


def test_frame_lists_read_well() -> None:
    assert format_frames([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_tail_is_the_end_of_the_video() -> None:
    made = split(PAPER, 1500, range(1500))
    assert (made.name, made.test) == ("tail-500", tuple(range(1000, 1500)))
    assert made.train == tuple(range(975))
    assert not made.flags


def test_frames_without_a_face_are_neither_trained_on_nor_scored() -> None:
    valid = [i for i in range(1500) if i % 100]
    made = split(PAPER, 1500, valid)
    assert len(made.test) == 500
    assert not {*made.train, *made.test} & set(range(0, 1500, 100))
    assert made.flags == ("15 of 1500 frames have no face and are left out",)


def test_random_split_is_the_same_for_ever() -> None:
    """The first frames of the draw, so that no library or platform changes what was published."""
    made = split(PAPER, 1500, range(1500), "random-500")
    assert (len(made.test), len(made.train)) == (500, 456)
    assert made.test[:8] == (1, 2, 4, 6, 8, 11, 13, 14)


def test_random_split_is_uniform() -> None:
    """Held-out frames of 20 seeds, counted in tenths of the video: chi-squared finds nothing odd."""
    counts = [0] * 10
    for seed in range(20):
        rule = SplitRule(kind="random", held_out_frames=15, guard_frames=0, seed=seed)
        for frame in split(protocol_of(rule), 200, range(200)).test:
            counts[frame // 20] += 1
    assert chisquare(counts).pvalue > 0.001


def test_short_capture_takes_the_share_and_says_so() -> None:
    made = split(PAPER, 1008, range(1008))
    assert len(made.test) == 202
    assert made.flags == ("short capture: 202 frames held out (20% of 1008) instead of 500",)


def test_too_short_is_refused() -> None:
    with pytest.raises(UserError, match="99 frames with a face; protocol self_reenactment needs at least 100"):
        split(PAPER, 4000, range(99))


def test_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="no split 'tail'; its splits: tail-500, random-500"):
        split(PAPER, 1500, range(1500), "tail")


@given(
    st.lists(st.integers(0, 60), min_size=1, unique=True).map(sorted),
    st.lists(st.integers(0, 60), min_size=1, unique=True).map(sorted),
    st.integers(0, 70),
)
def test_the_guard_is_what_lies_near_a_held_out_frame(valid: list[int], test: list[int], guard_frames: int) -> None:
    near = {frame + step for frame in test for step in range(-guard_frames, guard_frames + 1)}
    train = [frame for frame in valid if frame not in near]
    guard = [frame for frame in valid if frame in near and frame not in test]
    assert _guarded(valid, test, guard_frames) == (train, guard)


def test_a_guard_of_any_size_takes_no_memory() -> None:
    assert _guarded(list(range(100)), [99], 10**30) == ([], list(range(99)))
