"""Captions of a style and of a person's attributes; some wordings are held out from training.

The words are those of a :class:`factory.clip.wordings.Wordings`: the first CLIP's, unless the judge's are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from factory.clip.styles import PHOTO, STYLES, Style, find_style
from factory.clip.wordings import FIRST, Wordings

SERIOUS_BELOW = 0.15
"""Smile coefficient under which a caption may say that somebody is serious; between it and a smile nothing is said."""


@dataclass(frozen=True)
class Attributes:
    """The visible attributes of a person, in the words of the supply's table (docs/studio.md).

    ``smile`` is the coefficient in [0, 1]; ``smiling`` says whether the supply labels it as a smile.
    """

    sex: str
    age: str
    skin: str
    hair_style: str
    hair_colour: str
    beard: str
    smile: float
    smiling: bool

    @classmethod
    def of_row(cls, row: Mapping[str, object]) -> Attributes:
        """Construct it from a row of the supply's table."""
        words = {name: str(row[name]) for name in ("sex", "age", "skin", "hair_style", "hair_colour", "beard")}
        return cls(**words, smile=float(str(row["smile"])), smiling=bool(row["smiling"]))


def caption(
    style: Style, seen: Attributes, rng: np.random.Generator, tell_smile: bool = False, words: Wordings = FIRST
) -> str:
    """Compose a training caption: the style and a random part of the visible attributes; ``tell_smile`` forces it."""
    who = subject(style, seen, rng, tell_smile, words)
    nouns, phrases = words.nouns_of(style), words.phrases_of(style)
    wording = int(rng.integers(len(nouns) + len(phrases)))
    if wording >= len(nouns):
        return phrases[wording - len(nouns)].format(who)
    return _pick(words.templates, rng).format(noun=with_article(nouns[wording]), who=who)


def subject(
    style: Style, seen: Attributes, rng: np.random.Generator, tell_smile: bool = False, words: Wordings = FIRST
) -> str:
    """Describe a person in words, "a smiling young woman with red hair", as far as the style shows it."""
    told = 0.65 if style.name == PHOTO else 0.4
    if not tell_smile and (not style.face or rng.random() < (0.05 if style.name == PHOTO else 0.35)):
        return _pick(words.anybody, rng)
    before: list[str] = []
    after: list[str] = []

    def tell(told_words: str) -> None:
        (after if told_words.startswith(("with", "who", "having")) else before).append(told_words)

    if (tell_smile or rng.random() < told) and (seen.smiling or seen.smile < SERIOUS_BELOW):
        tell(_pick(words.smiling if seen.smiling else words.serious, rng))
    if rng.random() < 0.6 * told:
        before.append(seen.age)
    if seen.hair_style == "bald":
        if rng.random() < told:
            tell(_pick(words.bald, rng))
    else:
        if style.colours and rng.random() < told:
            tell(_pick(words.hair, rng).format(seen.hair_colour))
        elif rng.random() < 0.4 * told:
            tell(words.hair_styles[seen.hair_style])
    if seen.beard != "none" and rng.random() < 0.6 * told:
        tell(_pick(words.bearded, rng))
    if style.colours and rng.random() < 0.3 * told:
        tell(words.skins[seen.skin])
    noun = _pick(words.nouns[seen.sex], rng) if rng.random() < max(told, 0.5) else "person"
    return " and ".join([" ".join([with_article(" ".join([*before, noun])), *after[:1]]), *after[1:]])


def with_article(words: str) -> str:
    """Return "a" or "an" and the words."""
    return f"{'an' if words[0].lower() in 'aeio' else 'a'} {words}"


def held_out_style_captions(name: str, words: Wordings = FIRST) -> list[str]:
    """Return wordings of a style that are held out from training."""
    style = find_style(name)
    own = words.held_out_nouns_of(style)
    held_out = [f"{with_article(noun)} of {who}" for noun in own for who in ("a person", "somebody")]
    nouns = own if words.style_nouns else (*own, style.nouns[0])
    return held_out + [
        template.format(noun=with_article(noun), who="a person")
        for template in words.held_out_templates
        for noun in nouns
    ]


def held_out_sex_captions(sex: str, words: Wordings = FIRST) -> list[str]:
    """Return wordings of a photo of a man or woman that are held out from training."""
    return _photos([with_article(noun) for noun in dict.fromkeys(words.nouns[sex])], words)


def held_out_hair_captions(colour: str, words: Wordings = FIRST) -> list[str]:
    """Return wordings of a hair colour that are held out from training."""
    return _photos([f"a person {told.format(colour)}" for told in words.held_out_hair], words)


def held_out_smile_captions(smiling: bool, words: Wordings = FIRST) -> list[str]:
    """Return wordings of a smile, or of none, that are held out from training."""
    told = words.held_out_smiling if smiling else words.held_out_serious
    return _photos([f"a person {each}" for each in told], words)


def held_out_beard_captions(bearded: bool, words: Wordings = FIRST) -> list[str]:
    """Return wordings of a man with a beard, or of a man of whom nothing is told, that are held out from training."""
    return _photos([f"a man {told}" for told in words.held_out_bearded] if bearded else [*words.held_out_men], words)


def training_words(words: Wordings = FIRST) -> set[str]:
    """Return every word that a training caption can contain, in lower case."""
    sources = [*words.templates, *words.anybody, *words.hair, *words.smiling, *words.serious, *words.bearded]
    sources += [*words.bald, *words.hair_styles.values(), *words.skins.values()]
    sources += [*words.nouns["male"], *words.nouns["female"], *COLOURS, *AGES, "a an and person"]
    sources += [told for style in STYLES for told in (*words.nouns_of(style), *words.phrases_of(style))]
    text = " ".join(sources).replace("{noun}", " ").replace("{who}", " ").replace("{}", " ")
    for mark in ",-:":
        text = text.replace(mark, " ")
    return set(text.lower().split())


COLOURS = ("black", "brown", "red", "blond", "grey")
AGES = ("young", "middle-aged", "old")


def _photos(people: list[str], words: Wordings) -> list[str]:
    return [
        template.format(noun="a photo", who=who)
        for who in people
        for template in (*words.held_out_templates, words.held_out_photo)
    ]


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
