"""Captions of a video before and after an edit, derived from the instruction where it is of a known kind."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emo_bench.instructions.change_words import CHANGES
from emo_bench.instructions.style_words import SENTENCES, STYLES

MEN = ("man", "guy", "boy", "gentleman")
WOMEN = ("woman", "lady", "girl")
MALE_WORDS = frozenset(("him", "his", "he", *MEN))
FEMALE_WORDS = frozenset(("her", "she", *WOMEN))
# Spellings that are brought to one; each is replaced inside words too.
SPELLINGS = {
    "color": "colour",
    "gray": "grey",
    "mustache": "moustache",
    "blonde": "blond",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}

_PERSON = f"({'|'.join(('person', *MEN, *WOMEN))})"
_ONE = f"(the|this|that|a) {_PERSON}"
_WHO = f"(him|her|them|somebody|someone|{_ONE})"
_PICTURE = "(it|this|that|(the|this) (photo|photograph|picture|image|portrait|video|face|head))"
_HIS = f"(his|her|their|the|{_ONE}'s)"


@dataclass(frozen=True)
class Captions:
    """What a video shows before and after an edit."""

    before: str
    after: str


def captions_of(instruction: str) -> Captions | None:
    """Return the captions that follow from an instruction, or None if it is of no known kind.

    Known are the styles and materials of `style_words` and the changes of `change_words`. The captions say man or woman
    if the instruction does, and person otherwise.
    """
    text = _plain(instruction)
    noun = _noun(text)
    for pattern, nouns in _style_patterns():
        found = pattern.fullmatch(text)
        if found:
            return Captions(f"a photo of a {noun}", nouns[found["noun"]].format(who=f"a {noun}"))
    for pattern, number in _change_patterns():
        found = pattern.fullmatch(text)
        if found:
            change = CHANGES[number]
            value = change.values[found["value"]] if change.values else ""
            return Captions(*(caption.format(noun=noun, value=value) for caption in (change.before, change.after)))
    return None


def _plain(instruction: str) -> str:
    """Return the words of an instruction in lower case, without hyphens, commas, "please" and the mark at its end."""
    text = instruction.casefold()
    for other, ours in SPELLINGS.items():
        text = text.replace(other, ours)
    words = re.sub(r"[-,\s]+", " ", text).strip(" .!?").split()
    return " ".join(word for word in words if word != "please")


def _noun(text: str) -> str:
    words = set(re.split(r"[ ']", text))
    male, female = bool(words & MALE_WORDS), bool(words & FEMALE_WORDS)
    if male == female:
        return "person"
    return "man" if male else "woman"


@functools.cache
def _style_patterns() -> list[tuple[re.Pattern[str], dict[str, str]]]:
    captions = {noun: style.caption for style in STYLES for noun in style.nouns}
    named = f"(an? |the |some )?(?P<noun>{_any_of(captions)})"
    return [(_compiled(sentence, noun=named), captions) for sentence in SENTENCES]


@functools.cache
def _change_patterns() -> list[tuple[re.Pattern[str], int]]:
    return list(_each_change())


def _each_change() -> Iterator[tuple[re.Pattern[str], int]]:
    for number, change in enumerate(CHANGES):
        for sentence in change.sentences:
            yield _compiled(sentence, value=f"(?P<value>{_any_of(change.values)})"), number


def _any_of(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _compiled(sentence: str, **parts: str) -> re.Pattern[str]:
    """Compile a sentence of the tables; its names in braces are replaced by what they may be."""
    parts |= {"it": f"({_WHO}|{_PICTURE})", "who": _WHO, "his": _HIS, "person": _PERSON}
    for name, part in parts.items():
        sentence = sentence.replace(f"{{{name}}}", part)
    return re.compile(sentence)
