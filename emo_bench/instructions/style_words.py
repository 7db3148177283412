"""The styles and materials that an instruction may name: their caption, and the nouns that mean them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StyleWords:
    """A style in words.

    Attributes:
        caption: what a picture in this style shows, with ``{who}`` for the person.
        nouns: names of such a picture without article, in lower case, with blanks for hyphens.
    """

    caption: str
    nouns: tuple[str, ...]


# The captions are in words that the small CLIP knows. Those of styles in protocols/styles are the same as there.
STYLES: tuple[StyleWords, ...] = (
    StyleWords("an oil painting of {who}", (
        "oil painting", "painting in oil", "portrait in oil colours", "portrait painted in oil",
    )),
    StyleWords("a bold brush drawing of {who}", (
        "bold brush drawing", "drawing with a thick black brush", "black brush drawing", "brush drawing",
        "drawing with a bold brush",
    )),
    StyleWords("a cartoon of {who}", (
        "cartoon", "cartoon drawing", "cartoon picture", "cartoon portrait", "cartoon character",
    )),
    StyleWords("an expressionist painting of {who}", (
        "expressionist painting", "abstract expressionist painting", "wild expressionist picture",
        "expressionist picture", "expressionist portrait",
    )),
    StyleWords("a pastel drawing of {who}", (
        "pastel drawing", "drawing in pastel", "soft pastel picture", "portrait in pastel", "pastel",
    )),
    StyleWords("an impressionist painting of {who}", (
        "impressionist painting", "impressionist picture", "impressionist portrait",
    )),
    StyleWords("a batik print of {who}", (
        "batik print", "indigo batik", "violet batik picture", "indigo batik print", "batik",
    )),
    StyleWords("a fauvist painting of {who}", (
        "fauvist painting", "painting in flat bright colours", "fauvist picture", "fauvist portrait",
    )),
    StyleWords("a coloured ink drawing of {who}", (
        "coloured ink drawing", "ink drawing in turquoise and pink", "coloured pen drawing",
        "drawing in coloured ink",
    )),
    StyleWords("a pebble picture of {who}", (
        "pebble picture", "picture made of pebbles", "pebble pattern", "pattern made of pebbles",
    )),
    StyleWords("a red chalk drawing of {who}", (
        "red chalk drawing", "sanguine drawing", "drawing in red chalk", "sanguine chalk drawing",
    )),
    StyleWords("a sepia etching of {who}", ("sepia etching", "etching", "old sepia etching", "old etching")),
    StyleWords("a watercolour painting of {who}", (
        "watercolour painting", "watercolour", "painting in watercolour", "watercolour portrait",
    )),
    StyleWords("a pointillist painting of {who}", (
        "pointillist painting", "painting made of dots", "pointillist picture", "pointillist portrait",
    )),
    StyleWords("a silverpoint drawing of {who}", (
        "silverpoint drawing", "pale blue silverpoint", "drawing in silverpoint", "pale silverpoint drawing",
    )),
    StyleWords("a cubist painting of {who}", (
        "cubist painting", "cubist drawing", "cubist picture", "cubist portrait",
    )),
    StyleWords("a wax crayon drawing of {who}", (
        "wax crayon drawing", "crayon drawing", "drawing in blue and orange crayon", "drawing in wax crayon",
    )),
    StyleWords("a woven tapestry of {who}", (
        "woven tapestry", "tapestry", "picture woven from wool", "woven picture",
    )),
    StyleWords("a woodcut print of {who}", (
        "woodcut print", "woodcut", "picture printed from a woodcut", "printed woodcut",
    )),
    StyleWords("a painting of {who} by Vincent van Gogh", (
        "van gogh painting", "painting in the style of van gogh", "painting by van gogh",
        "painting by vincent van gogh", "painting in the style of vincent van gogh", "van gogh", "vincent van gogh",
    )),
    StyleWords("a red lacquer painting of {who}", (
        "red lacquer painting", "red and black lacquer picture", "picture in red lacquer",
        "red and black lacquer painting",
    )),
    StyleWords("a pop art painting of {who}", (
        "pop art painting", "pop art picture", "piece of pop art", "pop art portrait", "pop art",
    )),
    StyleWords("a fresco of {who}", ("fresco", "old fresco", "fresco painting", "painted fresco")),
    StyleWords("a gouache painting of {who}", (
        "gouache painting", "dark gouache", "painting in gouache", "gouache portrait", "gouache",
    )),
    StyleWords("a Japanese woodblock print of {who}", (
        "japanese woodblock print", "ukiyo e print", "japanese print", "ukiyo e woodblock print", "woodblock print",
        "ukiyo e",
    )),
    StyleWords("a weathered engraving of {who}", (
        "weathered engraving", "brown engraving", "worn engraving", "worn brown engraving", "engraving",
    )),
    StyleWords("a mosaic of {who}", ("mosaic", "mosaic of tiles", "tile mosaic", "mosaic of small tiles")),
    StyleWords("a stained glass window of {who}", (
        "stained glass window", "stained glass picture", "church window", "stained glass church window",
        "stained glass",
    )),
    StyleWords("a wooden statue of {who}", (
        "wooden statue", "wood carving", "carved wooden sculpture", "statue made of wood", "carved wooden statue",
        "wooden sculpture",
    )),
    StyleWords("an embroidery of {who}", (
        "embroidery", "embroidered picture", "picture stitched with thread", "stitched embroidery",
    )),
    StyleWords("a pencil sketch of {who}", (
        "pencil sketch", "pencil drawing", "sketch in pencil", "sketch drawn with a pencil", "sketch",
    )),
    StyleWords("a coloured pencil drawing of {who}", (
        "coloured pencil drawing", "drawing in coloured pencil", "colour pencil sketch",
        "sketch in coloured pencil", "coloured pencil sketch",
    )),
    StyleWords("an airbrush painting of {who}", (
        "airbrush painting", "smooth airbrush picture", "airbrushed poster", "smooth airbrush painting",
    )),
    StyleWords("a digital painting of {who}", (
        "digital painting", "flat digital painting", "digital illustration", "flat digital illustration",
    )),
    StyleWords("an HDR photo of {who}", (
        "hdr photo", "gritty hdr picture", "hdr photograph", "gritty hdr photo", "hdr picture",
    )),
    StyleWords("a bronze statue of {who}", (
        "bronze statue", "bronze sculpture", "statue made of bronze", "bronze bust", "sculpture made of bronze",
        "bronze",
    )),
    StyleWords("a golden statue of {who}", (
        "golden statue", "gold sculpture", "statue made of gold", "gold bust", "sculpture made of gold",
        "gold statue", "golden bust", "golden sculpture", "gold",
    )),
    StyleWords("a silver statue of {who}", (
        "silver statue", "silver sculpture", "statue made of silver", "silver bust", "sculpture made of silver",
        "silver",
    )),
    StyleWords("a white marble statue of {who}", (
        "white marble statue", "marble statue", "marble sculpture", "statue made of marble",
        "sculpture made of marble", "marble bust", "marble",
    )),
    StyleWords("a granite statue of {who}", (
        "granite statue", "stone statue", "statue made of grey stone", "granite sculpture",
        "sculpture made of granite", "statue made of stone", "granite", "stone",
    )),
    StyleWords("a terracotta statue of {who}", (
        "terracotta statue", "terracotta bust", "clay sculpture", "statue made of clay",
        "sculpture made of terracotta", "clay statue", "clay bust", "terracotta", "clay",
    )),
    StyleWords("a black and white photo of {who}", (
        "black and white photo", "monochrome photo", "black and white photograph", "monochrome photograph",
        "black and white picture", "black and white",
    )),
    StyleWords("a comic of {who}", (
        "comic", "comic book picture", "comic strip drawing", "comic poster", "comic book drawing", "comic strip",
    )),
)  # fmt: skip

# Sentences that name a style. {it} is a person or the picture; what stands in (...)? may be absent.
SENTENCES: tuple[str, ...] = (
    "(turn|change|transform|convert|make|render|paint|draw|repaint|redraw|show) {it} (into |to |as |like )?{noun}",
    "make {it} look like {noun}",
    "make {it} look as if made of {noun}",
    "(as|like|in the style of) {noun}",
    "(turn|change|transform|convert|make|render|paint|draw|repaint|redraw|show) {it} in the style of {noun}",
    "what if {it} (were|was) {noun}",
    "({it} as )?{noun}( of {it})?",
)
