"""The changes of a person that an instruction may ask for: their sentences, and what is to be seen before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ChangeWords:
    """A kind of change in words.

    Attributes:
        sentences: sentences that ask for it, with ``{who}`` for a person, ``{his}`` for "his" or "the man's", and
            ``{value}`` for a key of ``values``. What stands in ``(...)?`` may be absent.
        after: the caption after the change, with ``{noun}`` for man, woman or person and ``{value}``.
        before: the caption before it.
        values: the word of the caption for each word of an instruction.
    """

    sentences: tuple[str, ...]
    after: str
    before: str = "a photo of a {noun}"
    values: Mapping[str, str] = field(default_factory=dict)


HAIR_COLOURS = {
    colour: colour
    for colour in ("black", "brown", "red", "blond", "grey", "white", "blue", "pink", "green", "purple", "orange")
} | {"ginger": "red"}  # fmt: skip
# The small CLIP knows beards only as such, so a caption says "beard" where that is right.
BEARDS = {
    "full beard": "a beard", "beard": "a beard", "goatee": "a goatee beard", "stubble": "a stubble beard",
    "moustache": "a moustache",
}  # fmt: skip
_YEARS = "(ten|twenty|thirty|forty|fifty|many|some|[0-9]{1,2}) years"

CHANGES: tuple[ChangeWords, ...] = (
    ChangeWords((
        "(make|turn|dye|colour|paint) {his} hair {value}", "let {his} hair be {value}",
        "change {his} hair( colour)? to {value}", "give {who} {value} hair", "make {who} {value} haired",
        "what if {who} had {value} hair", "({who} )?(with )?{value} hair",
    ), "a photo of a {noun} with {value} hair", values=HAIR_COLOURS),
    ChangeWords((
        "give {who} {value} hair", "(make|cut) {his} hair {value}", "let {his} hair (grow|be) {value}",
        "({who} )?(with )?{value} hair",
    ), "a photo of a {noun} with {value} hair",
        values={"long": "long", "longer": "long", "short": "short", "shorter": "short"}),
    ChangeWords(("cut {his} hair",), "a photo of a {noun} with short hair"),
    ChangeWords((
        "(give|cut) {who} a {value}( haircut)?", "(cut|tie|put|make) {his} hair (in|into|to) a {value}",
        "({who} )?(with )?a {value}( haircut)?",
    ), "a photo of a {noun} with a {value}", values={"bob": "bob", "ponytail": "ponytail"}),
    ChangeWords((
        "make {who} bald( headed)?", "remove {his} hair", "take {his} hair away", "shave {his} head", "bald( head)?",
        "({who} )?without hair",
    ), "a photo of a bald {noun}"),
    ChangeWords((
        "give {who} (an? )?{value}", "add (an? )?{value}( to {who}| to {his} face)?",
        "(let|make) {who} (grow|wear|have) (an? )?{value}", "put (an? )?{value} on ({who}|{his} face)",
        "({who} )?(with )?(an? )?{value}",
    ), "a photo of a {noun} with {value}", values=BEARDS),
    ChangeWords(("make {who} bearded",), "a photo of a {noun} with a beard"),
    ChangeWords(("make {who} unshaven",), "a photo of a {noun} with a stubble beard"),
    ChangeWords((
        "shave {who}", "(remove|shave|shave off) {his} (beard|moustache|goatee|stubble)",
        "(take|shave) {his} (beard|moustache|goatee|stubble) (away|off)", "make {who} clean shaven",
        "({who} )?without (a |the )?beard",
    ), "a photo of a {noun}", before="a photo of a {noun} with a beard"),
    ChangeWords((
        f"make {{who}} (look )?(much |a lot |{_YEARS} )?(older|old|elderly)", "let {who} be (old|older)",
        "turn {who} into an (old|older|elderly) {person}", f"(age {{who}}|age {{who}} by {_YEARS})", "(old|older)",
        "what would {who} look like in old age",
    ), "a photo of an old {noun}"),
    ChangeWords((
        f"make {{who}} (look )?(much |a lot |{_YEARS} )?(younger|young)", "let {who} be (young|younger)",
        "turn {who} into a (young|younger) {person}", "(young|younger)",
    ), "a photo of a young {noun}"),
    ChangeWords((
        "give {who} {value} skin", "(make|turn) {his} skin {value}", "let {his} skin be {value}",
        "make {who} {value} skinned",
    ), "a photo of a {value}-skinned {noun}", values={
        "light": "light", "lighter": "light", "pale": "light", "fair": "light", "brown": "brown", "tanned": "brown",
        "dark": "dark", "darker": "dark",
    }),
    ChangeWords(("make {who} pale",), "a photo of a light-skinned {noun}"),
    ChangeWords(("give {who} a tan", "make {who} tanned"), "a photo of a brown-skinned {noun}"),
    ChangeWords((
        "(make|let) {who} (smile|laugh)", "(make|let) {who} (look |be )?(happy|cheerful)", "add a smile", "smiling",
        "(give|add) {who} a smile", "{who} smiles", "put a smile on {his} face", "({who} )?with a smile",
    ), "a photo of a smiling {noun}"),
    ChangeWords((
        "(make|let) {who} (look |be )?serious", "(remove|stop) {his} smile", "take {his} smile away", "serious",
        "a serious face", "make {who} stop smiling", "({who} )?without a smile",
    ), "a photo of a serious {noun}", before="a photo of a smiling {noun}"),
)  # fmt: skip
