"""Captions of a style and of a person's attributes; some wordings are held out from training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from factory.clip.styles import PHOTO, Style, find_style

SERIOUS_BELOW = 0.15
"""Smile coefficient under which a caption may say that somebody is serious; between it and a smile nothing is said."""

TEMPLATES = ("{noun} of {who}", "{noun} of {who}", "{who} as {noun}", "{who}, {noun}", "{noun} that shows {who}")
HELD_OUT_TEMPLATES = ("{noun} showing {who}", "{noun} with {who}")
ANYBODY = ("a person", "a person", "somebody", "a head", "a face")

NOUNS = {"male": ("man", "man", "guy"), "female": ("woman", "woman", "lady")}
HAIR = ("with {} hair", "with {} hair", "who has {} hair", "{}-haired")
HELD_OUT_HAIR = ("having {} hair", "whose hair is {}")
SMILING = ("smiling", "with a smile", "happy")
HELD_OUT_SMILING = ("who is smiling", "having a smile")
SERIOUS = ("serious", "with a serious face", "without a smile")
HELD_OUT_SERIOUS = ("who is serious", "having a serious face")
BEARDED = ("bearded", "with a beard")
BALD = ("bald", "without hair")
HAIR_STYLES = {"long": "with long hair", "short": "with short hair", "ponytail": "with a ponytail", "bob": "with a bob"}
SKINS = {"light": "light-skinned", "medium": "brown-skinned", "dark": "dark-skinned"}


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


def caption(style: Style, seen: Attributes, rng: np.random.Generator, tell_smile: bool = False) -> str:
    """Compose a training caption: the style and a random part of the visible attributes; ``tell_smile`` forces it."""
    who = subject(style, seen, rng, tell_smile)
    wordings = len(style.nouns) + len(style.phrases)
    wording = int(rng.integers(wordings))
    if wording >= len(style.nouns):
        return style.phrases[wording - len(style.nouns)].format(who)
    noun = style.nouns[wording]
    return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(noun=with_article(noun), who=who)


def subject(style: Style, seen: Attributes, rng: np.random.Generator, tell_smile: bool = False) -> str:
    """Describe a person in words, "a smiling young woman with red hair", as far as the style shows it."""
    told = 0.65 if style.name == PHOTO else 0.4
    if not tell_smile and (not style.face or rng.random() < (0.05 if style.name == PHOTO else 0.35)):
        return _pick(ANYBODY, rng)
    before: list[str] = []
    after: list[str] = []

    def tell(words: str) -> None:
        (after if words.startswith(("with", "who")) else before).append(words)

    if (tell_smile or rng.random() < told) and (seen.smiling or seen.smile < SERIOUS_BELOW):
        tell(_pick(SMILING if seen.smiling else SERIOUS, rng))
    if rng.random() < 0.6 * told:
        before.append(seen.age)
    if seen.hair_style == "bald":
        if rng.random() < told:
            tell(_pick(BALD, rng))
    else:
        if style.colours and rng.random() < told:
            tell(_pick(HAIR, rng).format(seen.hair_colour))
        elif rng.random() < 0.4 * told:
            tell(HAIR_STYLES[seen.hair_style])
    if seen.beard != "none" and rng.random() < 0.6 * told:
        tell(_pick(BEARDED, rng))
    if style.colours and rng.random() < 0.3 * told:
        before.append(SKINS[seen.skin])
    noun = _pick(NOUNS[seen.sex], rng) if rng.random() < max(told, 0.5) else "person"
    return " and ".join([" ".join([with_article(" ".join([*before, noun])), *after[:1]]), *after[1:]])


def with_article(words: str) -> str:
    """Return "a" or "an" and the words."""
    return f"{'an' if words[0].lower() in 'aeio' else 'a'} {words}"


def held_out_style_captions(name: str) -> list[str]:
    """Return wordings of a style that are held out from training."""
    style = find_style(name)
    held_out = [f"{with_article(style.held_out_noun)} of {who}" for who in ("a person", "somebody")]
    return held_out + [
        template.format(noun=with_article(noun), who="a person")
        for template in HELD_OUT_TEMPLATES
        for noun in (style.held_out_noun, style.nouns[0])
    ]


def held_out_sex_captions(sex: str) -> list[str]:
    """Return wordings of a photo of a man or woman that are held out from training."""
    return _photos([with_article(noun) for noun in dict.fromkeys(NOUNS[sex])])


def held_out_hair_captions(colour: str) -> list[str]:
    """Return wordings of a hair colour that are held out from training."""
    return _photos([f"a person {words.format(colour)}" for words in HELD_OUT_HAIR])


def held_out_smile_captions(smiling: bool) -> list[str]:
    """Return wordings of a smile, or of none, that are held out from training."""
    return _photos([f"a person {words}" for words in (HELD_OUT_SMILING if smiling else HELD_OUT_SERIOUS)])


def held_out_beard_captions(bearded: bool) -> list[str]:
    """Return wordings of a man with a beard, or of a man of whom nothing is told, that are held out from training."""
    return _photos(["a man having a beard", "a man who is bearded"] if bearded else ["a man", "a guy"])


def training_words() -> set[str]:
    """Return every word that a training caption can contain, in lower case."""
    from factory.clip.styles import STYLES

    sources = [*TEMPLATES, *ANYBODY, *HAIR, *SMILING, *SERIOUS, *BEARDED, *BALD, *HAIR_STYLES.values()]
    sources += [*SKINS.values(), *NOUNS["male"], *NOUNS["female"], *COLOURS, *AGES, "a an and person"]
    sources += [words for style in STYLES for words in (*style.nouns, *style.phrases)]
    text = " ".join(sources).replace("{noun}", " ").replace("{who}", " ").replace("{}", " ")
    for mark in ",-":
        text = text.replace(mark, " ")
    return set(text.lower().split())


COLOURS = ("black", "brown", "red", "blond", "grey")
AGES = ("young", "middle-aged", "old")


def _photos(people: list[str]) -> list[str]:
    return [
        template.format(noun="a photo", who=who)
        for who in people
        for template in (*HELD_OUT_TEMPLATES, "a colour photograph of {who}")
    ]


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
