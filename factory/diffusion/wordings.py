"""Instructions in words for each change; some wordings are held out from training.

A template may name ``{him}`` and ``{his}`` (him, her or them; his, her or their), ``{who}`` ("the man") and
``{value}``. Half of the instructions name nobody's sex.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.clip.captions import training_words, with_article
from factory.clip.styles import find_style
from factory.diffusion import changes

Templates = Sequence[str]

TRAINED: dict[str, dict[str, Templates]] = {
    "hair colour": {"": (
        "make {his} hair {value}", "give {him} {value} hair", "dye {his} hair {value}", "{value} hair",
        "turn {his} hair {value}", "colour the hair {value}", "change the hair colour to {value}",
        "make {who} {value}-haired", "what if {who} had {value} hair", "make the hair {value}",
    )},
    "haircut": {
        "": ("give {him} {value} hair", "make {his} hair {value}", "{value} hair", "cut {his} hair {value}"),
        "bob": ("give {him} a bob", "cut {his} hair into a bob", "a bob haircut", "give {who} a bob haircut"),
        "ponytail": ("give {him} a ponytail", "tie {his} hair into a ponytail", "a ponytail"),
        "long": ("give {him} long hair", "make {his} hair long", "long hair", "let {his} hair grow long",
                 "make {his} hair longer"),
        "short": ("give {him} short hair", "make {his} hair short", "short hair", "cut {his} hair short",
                  "make {his} hair shorter", "cut {his} hair"),
        "bald": ("make {him} bald", "remove {his} hair", "shave {his} head", "bald head", "take {his} hair away"),
    },
    "beard": {
        "": ("give {him} a {value}", "add a {value}", "let {him} grow a {value}", "make {him} wear a {value}"),
        "full beard": ("give {him} a beard", "add a beard", "make {him} bearded", "let {him} grow a beard",
                       "give {who} a full beard", "a beard", "put a beard on {his} face", "with a beard"),
        "stubble": ("give {him} stubble", "add stubble", "make {him} unshaven"),
        "none": ("remove {his} beard", "shave {him}", "take {his} beard away", "remove the beard",
                 "make {him} clean-shaven", "without a beard"),
    },
    "age": {
        "old": ("make {him} old", "make {him} older", "make {who} thirty years older", "turn {him} into an old person",
                "age {him}", "older", "make {him} look old", "what would {who} look like in old age"),
        "young": ("make {him} young", "make {him} younger", "make {who} thirty years younger", "younger",
                  "turn {him} into a young person", "make {him} look young"),
    },
    "skin": {
        "light": ("give {him} light skin", "make {his} skin lighter", "make {him} light-skinned", "make {him} pale"),
        "medium": ("give {him} brown skin", "give {him} a tan", "make {him} tanned", "make {his} skin brown",
                   "make {him} brown-skinned"),
        "dark": ("give {him} dark skin", "make {his} skin dark", "make {him} dark-skinned", "make {his} skin darker"),
    },
    "smile": {
        "smiling": ("make {him} smile", "let {him} smile", "add a smile", "make {him} happy", "smiling",
                    "give {him} a smile", "make {who} look happy", "{who} smiles", "make {him} cheerful"),
        "serious": ("make {him} serious", "make {him} look serious", "remove the smile", "stop {his} smile", "serious",
                    "a serious face", "make {him} stop smiling"),
    },
    "eyes": {
        "closed": ("close {his} eyes", "make {him} close {his} eyes", "closed eyes", "shut {his} eyes",
                   "with closed eyes"),
        "open": ("open {his} eyes", "make {him} open {his} eyes", "open eyes", "with open eyes"),
    },
    "clothes": {"": (
        "make {his} clothes {value}", "give {him} {value} clothes", "dress {him} in {value}", "make the shirt {value}",
        "give {him} a {value} shirt", "change {his} clothes to {value}", "{value} clothes", "put {him} in {value}",
        "make {his} shirt {value}", "turn the clothes {value}",
    )},
    "wall": {"": (
        "make the background {value}", "{value} background", "put {him} before a {value} wall",
        "change the background to {value}", "a {value} wall behind {him}", "turn the background {value}",
        "make the wall {value}",
    )},
    "light": {
        "warm": ("warm light", "make the light warm", "light {him} with a warm lamp", "evening light",
                 "make the picture warmer"),
        "cold": ("cold light", "make the light cold", "cold blue light", "make the picture colder",
                 "light {him} with a cold lamp"),
        "dim": ("dim light", "make it darker", "make the light dim", "make the picture dark", "at night"),
        "left": ("light from the left", "light {him} from the left", "put a lamp on the left",
                 "make the light come from the left"),
        "right": ("light from the right", "light {him} from the right", "put a lamp on the right",
                  "make the light come from the right"),
    },
    "none": {"": (
        "leave it as it is", "change nothing", "do nothing", "keep the picture as it is", "leave the photo as it is",
        "no change", "do not change anything", "keep everything",
    )},
}  # fmt: skip
STYLE: Templates = (
    "as {noun}", "as {noun}", "turn {him} into {noun}", "turn {who} into {noun}", "make it {noun}",
    "make {him} {noun}", "make it look like {noun}", "turn the photo into {noun}", "in the style of {noun}",
    "what if it were {noun}", "{noun}", "{noun} of {who}", "make this {noun}", "turn it into {noun}",
    "{who} as {noun}", "change it to {noun}",
)  # fmt: skip
HELD_OUT: dict[str, dict[str, Templates]] = {
    "hair colour": {"": ("let {his} hair be {value}", "{who} with {value} hair")},
    "haircut": {"": ("{who} with {value} hair",), "bob": ("{who} with a bob",), "ponytail": ("{who} with a ponytail",),
                "bald": ("make {who} bald-headed", "{who} without hair")},
    "beard": {"": ("put a {value} on {who}",), "stubble": ("put stubble on {his} face",),
              "none": ("shave the beard", "{who} without a beard")},
    "age": {"old": ("let {him} be old", "make {who} much older"),
            "young": ("let {him} be young", "make {who} much younger")},
    "skin": {"light": ("let {his} skin be light",), "medium": ("let {his} skin be brown",),
             "dark": ("let {his} skin be dark",)},
    "smile": {"smiling": ("put a smile on {his} face", "let {who} be happy"),
              "serious": ("let {who} be serious", "take {his} smile away")},
    "eyes": {"closed": ("let {his} eyes be closed",), "open": ("let {his} eyes be open",)},
    "clothes": {"": ("let {his} clothes be {value}", "colour the shirt {value}")},
    "wall": {"": ("let the background be {value}", "colour the background {value}")},
    "light": {"warm": ("let the light be warm",), "cold": ("let the light be cold",), "dim": ("let the light be dim",),
              "left": ("a lamp on the left",), "right": ("a lamp on the right",)},
    "none": {"": ("leave everything as it is", "keep it as it is")},
}  # fmt: skip
HELD_OUT_STYLE: Templates = ("render {him} as {noun}", "make {who} look like {noun}", "change the photo into {noun}")
WHO = {"male": ("the man", "the man", "this man", "the guy"), "female": ("the woman", "the woman", "this woman")}
ANYBODY = ("the person", "this person", "somebody")
PRONOUNS = {"male": ("him", "his"), "female": ("her", "her"), "": ("them", "their")}


def instruction(kind: str, value: str, sex: str, rng: np.random.Generator, held_out: bool = False) -> str:
    """Draw an instruction for a change.

    Args:
        kind, value: the change, in the words of `changes`; kind "style" has a style's name, kind "none" no value.
        sex: "female" or "male", as the supply labels the person.
        rng: draws the wording.
        held_out: whether to use the wordings that no training example has.
    """
    told = sex if rng.random() < 0.5 else ""
    him, his = PRONOUNS[told]
    who = _pick(WHO[told] if told else ANYBODY, rng)
    words = {"him": him, "his": his, "who": who, "value": value}
    if kind == "style":
        style = find_style(value)
        noun = style.held_out_noun if held_out and rng.random() < 0.5 else _pick(style.nouns, rng)
        return _pick(HELD_OUT_STYLE if held_out else STYLE, rng).format(**words, noun=with_article(noun))
    templates = (HELD_OUT if held_out else TRAINED)[kind]
    return _pick(templates.get(value) or templates[""], rng).format(**words)


def training_texts() -> list[str]:
    """Return every wording, value, style and caption that training uses, for the tokenizer; none that is held out."""
    texts = [text for kinds in TRAINED.values() for some in kinds.values() for text in some]
    texts += [*STYLE, *ANYBODY, *WHO["male"], *WHO["female"], *(word for two in PRONOUNS.values() for word in two)]
    texts += [*changes.HAIR, *changes.CLOTHES, *changes.WALLS, *changes.BEARDS]
    # Sorted, because the order of a set differs from process to process.
    return [text.translate(str.maketrans("{}", "  ")) for text in texts] + sorted(training_words())


def _pick(words: Templates, rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
