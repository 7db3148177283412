"""Captions that follow from an instruction, held against the words of the networks' factories."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.instructions.captions import Captions, captions_of
from factory.clip.captions import training_words
from factory.clip.styles import NAMES, PHOTO, find_style
from factory.diffusion import changes
from factory.diffusion.wordings import instruction
from protocols.styles import list_styles

STYLES = tuple(name for name in NAMES if name != PHOTO)
# The kinds whose result a caption of the small CLIP can say, and a word of that caption for each value.
VALUES = {
    "hair colour": {colour: f"with {colour} hair" for colour in changes.HAIR},
    "haircut": {"short": "short hair", "long": "long hair", "bob": "bob", "ponytail": "ponytail", "bald": "bald"},
    "beard": {"full beard": "beard", "moustache": "moustache", "goatee": "goatee", "stubble": "stubble", "none": ""},
    "age": {"old": "an old", "young": "a young"},
    "skin": {"light": "light-skinned", "medium": "brown-skinned", "dark": "dark-skinned"},
    "smile": {"smiling": "smiling", "serious": "serious"},
}  # fmt: skip
KNOWN = [(kind, value) for kind, values in VALUES.items() for value in values]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("change", KNOWN, ids="-".join)
@settings(max_examples=30)
@given(sex=st.sampled_from(["male", "female"]), held_out=st.booleans(), seed=SEEDS)
def test_the_changes_that_the_network_learns_are_understood(
    change: tuple[str, str], sex: str, held_out: bool, seed: int
) -> None:
    kind, value = change
    words = instruction(kind, value, sex, np.random.default_rng(seed), held_out)
    found = captions_of(words)
    assert found is not None, words
    assert VALUES[kind][value] in found.after and found.before != found.after
    assert ("beard" in found.before) == (value == "none")


@pytest.mark.parametrize("name", STYLES)
@settings(max_examples=30)
@given(sex=st.sampled_from(["male", "female"]), held_out=st.booleans(), seed=SEEDS)
def test_the_styles_that_the_network_learns_are_understood(name: str, sex: str, held_out: bool, seed: int) -> None:
    words = instruction("style", name, sex, np.random.default_rng(seed), held_out)
    found = captions_of(words)
    assert found is not None, words
    style = find_style(name)
    person = found.before.removeprefix("a photo of ")
    assert person in ("a person", "a man", "a woman")
    # The caption is one of those that the small CLIP was taught for this very style; its article is not: "a HDR photo".
    taught = [f"{noun} of {person}" for noun in style.nouns]
    taught += [phrase.format(person).partition(" ")[2] for phrase in style.phrases]
    assert found.after.partition(" ")[2] in taught


@given(st.sampled_from(["eyes", "clothes", "wall", "light", "none"]), SEEDS, st.booleans())
def test_what_no_caption_can_say_is_not_guessed(kind: str, seed: int, held_out: bool) -> None:
    rng = np.random.default_rng(seed)
    value = {"eyes": "closed", "clothes": "red", "wall": "blue", "light": "warm", "none": ""}[kind]
    assert captions_of(instruction(kind, value, "male", rng, held_out)) is None


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ("turn her into a marble statue", "a photo of a woman", "a white marble statue of a woman"),
        ("Please turn the man into a bronze bust!", "a photo of a man", "a bronze statue of a man"),
        ("in the style of Van Gogh", "a photo of a person", "a painting of a person by Vincent van Gogh"),
        ("make it a black-and-white photo", "a photo of a person", "a black and white photo of a person"),
        ("give him blonde hair", "a photo of a man", "a photo of a man with blond hair"),
        ("color the man's hair gray", "a photo of a man", "a photo of a man with grey hair"),
        ("make her look twenty years older", "a photo of a woman", "a photo of an old woman"),
        ("turn him into an old woman", "a photo of a person", "a photo of an old person"),
        ("shave his head", "a photo of a man", "a photo of a bald man"),
        ("remove his beard", "a photo of a man with a beard", "a photo of a man"),
    ],
)
def test_examples(words: str, before: str, after: str) -> None:
    assert captions_of(words) == Captions(before, after)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "do not turn her into a marble statue",
        "turn a marble statue into her",
        "turn her into a marble statue with red hair",
        "make it a photo",
        "make her hair",
        "give him hair",
        "turn her into a pumpkin",
        "a beard and a smile",
    ],
)
def test_other_words_are_not_guessed(words: str) -> None:
    assert captions_of(words) is None


@given(st.text(alphabet=st.sampled_from(" .!-'{}aehiknrt"), max_size=60) | st.text(max_size=60))
def test_any_text_has_captions_or_none(words: str) -> None:
    found = captions_of(words)
    assert found is None or (found.before and found.after and "{" not in found.after)


@pytest.mark.parametrize("style", list_styles(), ids=lambda style: style.name)
def test_shipped_styles_have_the_captions_of_their_instruction_in_words_of_the_small_clip(style: object) -> None:
    captions = Captions(style.source_caption, style.target_caption)  # type: ignore[attr-defined]
    found = captions_of(style.instruction)  # type: ignore[attr-defined]
    assert found == captions
    words = set(re.split(r"[^a-z]+", f"{captions.before} {captions.after}".lower()))
    assert words - {""} <= training_words()
