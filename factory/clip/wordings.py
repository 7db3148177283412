"""The words of captions: those of the first CLIP and those of the judge, which have no caption in common.

The judge scores what the first CLIP trained. It learns from captions that the first one never saw, and the first one's
wordings are held out from it. Both know the words of the style files (``protocols/styles``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from factory.clip.styles import Style

Words = tuple[str, ...]


@dataclass(frozen=True)
class Wordings:
    """The words that the captions of a training are made of, and others that are held out from it.

    Attributes:
        name: its name in the config of a training.
        templates: how style and person make a caption.
        anybody: a person of whom nothing is told.
        nouns: words for a person, by sex.
        hair: what tells the colour of hair.
        smiling, serious, bearded, bald: what tells these.
        hair_styles, skins: what tells them, by the words of the supply's table.
        style_nouns: names of a picture in a style, by the style's name; a style that is not in it has its own ones.
        held_out_style_nouns: as ``style_nouns``, held out from training.
        held_out_templates, held_out_hair, held_out_smiling, held_out_serious, held_out_bearded, held_out_photo: what
            the measurement is made with.
        held_out_men: words for a man of whom no beard is told.
    """

    name: str
    templates: Words
    anybody: Words
    nouns: Mapping[str, Words]
    hair: Words
    smiling: Words
    serious: Words
    bearded: Words
    bald: Words
    hair_styles: Mapping[str, str]
    skins: Mapping[str, str]
    held_out_templates: Words
    held_out_hair: Words
    held_out_smiling: Words
    held_out_serious: Words
    held_out_bearded: Words
    held_out_men: Words
    held_out_photo: str
    style_nouns: Mapping[str, Words]

    def nouns_of(self, style: Style) -> Words:
        """Return the names of a picture in this style."""
        return self.style_nouns.get(style.name, style.nouns)

    def phrases_of(self, style: Style) -> Words:
        """Return the complete captions of this style, with ``{}`` for the person."""
        return () if style.name in self.style_nouns else style.phrases

    def held_out_nouns_of(self, style: Style) -> Words:
        """Return names of a picture in this style that are held out from training."""
        return style.nouns[:2] if style.name in self.style_nouns else (style.held_out_noun,)


FIRST = Wordings(
    name="first",
    templates=("{noun} of {who}", "{noun} of {who}", "{who} as {noun}", "{who}, {noun}", "{noun} that shows {who}"),
    anybody=("a person", "a person", "somebody", "a head", "a face"),
    nouns={"male": ("man", "man", "guy"), "female": ("woman", "woman", "lady")},
    hair=("with {} hair", "with {} hair", "who has {} hair", "{}-haired"),
    smiling=("smiling", "with a smile", "happy"),
    serious=("serious", "with a serious face", "without a smile"),
    bearded=("bearded", "with a beard"),
    bald=("bald", "without hair"),
    hair_styles={
        "long": "with long hair", "short": "with short hair", "ponytail": "with a ponytail", "bob": "with a bob",
    },
    skins={"light": "light-skinned", "medium": "brown-skinned", "dark": "dark-skinned"},
    held_out_templates=("{noun} showing {who}", "{noun} with {who}"),
    held_out_hair=("having {} hair", "whose hair is {}"),
    held_out_smiling=("who is smiling", "having a smile"),
    held_out_serious=("who is serious", "having a serious face"),
    held_out_bearded=("having a beard", "who is bearded"),
    held_out_men=("a man", "a guy"),
    held_out_photo="a colour photograph of {who}",
    style_nouns={},
)  # fmt: skip

JUDGE = Wordings(
    name="judge",
    templates=("{noun} showing {who}", "{noun} with {who}", "{noun} depicting {who}", "the likeness of {who}: {noun}"),
    anybody=("a person", "a person", "someone", "a human head", "a human face"),
    nouns={"male": ("man", "man", "gentleman"), "female": ("woman", "woman", "girl")},
    hair=("having {} hair", "having {} hair", "whose hair is {}", "with hair in {}"),
    smiling=("who is smiling", "having a smile", "who smiles"),
    serious=("who is serious", "having a serious face", "who does not smile"),
    bearded=("having a beard", "who wears a beard"),
    bald=("who is bald", "having no hair"),
    hair_styles={
        "long": "having long hair", "short": "having short hair", "ponytail": "who wears a ponytail",
        "bob": "having a bob",
    },
    skins={"light": "having light skin", "medium": "having brown skin", "dark": "having dark skin"},
    held_out_templates=("{noun} of {who}", "{noun} that shows {who}"),
    held_out_hair=("with {} hair", "who has {} hair"),
    held_out_smiling=("with a smile", "who has a smile"),
    held_out_serious=("with a serious face", "without a smile"),
    held_out_bearded=("with a beard", "who has a beard"),
    held_out_men=("a man", "a gentleman"),
    held_out_photo="a photograph of {who}",
    style_nouns={
        "photo": ("colour photograph", "snapshot", "photo taken with a camera", "picture from a camera"),
        "oil-painting": ("portrait painted in oil", "oil portrait", "painting in oil colours"),
        "brush-drawing": ("drawing with a bold brush", "bold black brush picture", "thick brush drawing"),
        "cartoon": ("cartoon portrait", "cartoon image", "cartoon sketch"),
        "expressionist": ("expressionist portrait", "abstract expressionist image", "wild expressionist painting"),
        "pastel": ("portrait in pastel", "pastel picture", "soft drawing in pastel"),
        "impressionist": ("impressionist portrait", "impressionist image", "painting by an impressionist"),
        "batik": ("indigo batik print", "violet batik", "batik picture"),
        "fauvist": ("fauvist portrait", "portrait in flat bright colours", "fauvist image"),
        "coloured-ink": ("drawing in coloured ink", "coloured ink picture", "pen drawing in turquoise and pink"),
        "pebbles": ("pattern made of pebbles", "pebble image", "picture laid with pebbles"),
        "red-chalk": ("sanguine chalk drawing", "red chalk portrait", "picture in red chalk"),
        "etching": ("old etching", "etching in sepia", "etched portrait"),
        "watercolour": ("watercolour portrait", "watercolour picture", "portrait in watercolour"),
        "pointillist": ("pointillist portrait", "picture made of dots", "pointillist image"),
        "silverpoint": ("pale silverpoint drawing", "silverpoint portrait", "silverpoint in pale blue"),
        "cubist": ("cubist portrait", "cubist image", "cubist work"),
        "crayon": ("drawing in wax crayon", "crayon picture", "crayon portrait in blue and orange"),
        "tapestry": ("woven picture", "tapestry of wool", "portrait woven as a tapestry"),
        "woodcut": ("printed woodcut", "woodcut picture", "woodcut portrait"),
        "van-gogh": ("painting by Van Gogh", "portrait by Vincent van Gogh", "picture in the style of Van Gogh"),
        "red-lacquer": ("red and black lacquer painting", "portrait in red lacquer", "red lacquer image"),
        "pop-art": ("pop art portrait", "pop art image", "pop art poster"),
        "fresco": ("painted fresco", "fresco portrait", "picture painted as a fresco"),
        "gouache": ("gouache portrait", "gouache picture", "dark painting in gouache"),
        "ukiyo-e": ("ukiyo-e woodblock print", "ukiyo-e picture", "Japanese woodblock picture"),
        "engraving": ("worn brown engraving", "engraving in brown", "weathered engraved picture"),
        "mosaic": ("mosaic of small tiles", "mosaic picture", "portrait made of tiles"),
        "stained-glass": ("stained glass church window", "portrait in stained glass", "window of stained glass"),
        "wood-carving": ("carved wooden statue", "wooden sculpture", "statue carved from wood"),
        "embroidery": ("stitched embroidery", "embroidered portrait", "embroidery of thread"),
        "pencil-sketch": ("sketch drawn with a pencil", "pencil portrait", "pencil picture"),
        "coloured-pencil": ("sketch in coloured pencil", "coloured pencil portrait", "coloured pencil picture"),
        "airbrush": ("smooth airbrush painting", "airbrush portrait", "airbrushed picture"),
        "digital-painting": ("flat digital illustration", "digital portrait", "digital picture"),
        "hdr": ("gritty HDR photo", "HDR portrait", "HDR image"),
        "bronze": ("sculpture made of bronze", "bust of bronze", "statue cast in bronze", "bronze figure"),
        "gold": ("sculpture made of gold", "bust of gold", "statue cast in gold", "golden figure"),
        "silver": ("sculpture made of silver", "bust of silver", "statue cast in silver", "silver figure"),
        "marble": ("sculpture made of marble", "bust of white marble", "statue carved in marble", "marble figure"),
        "granite": ("sculpture made of granite", "bust of grey stone", "statue carved in granite", "stone figure"),
        "terracotta": ("sculpture made of terracotta", "bust of clay", "terracotta figure", "clay figure"),
        "black-and-white": ("monochrome photograph", "black and white portrait", "photo in black and white"),
        "comic": ("comic book drawing", "comic portrait", "drawing from a comic"),
    },
)  # fmt: skip

ALL: Mapping[str, Wordings] = {wordings.name: wordings for wordings in (FIRST, JUDGE)}
