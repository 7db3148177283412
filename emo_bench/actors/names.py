"""What an actor may be called: letters of any script that are safe in a path, in a page and on a terminal."""

from __future__ import annotations

import unicodedata

from emo_bench.errors import UserError, shortened

LONGEST = 64
# Bytes in UTF-8: names of other files are made from it, and a file system allows 255.
LONGEST_BYTES = 180
RULE = (
    "use letters, digits, dot, dash and underscore, a letter or digit first, "
    f"at most {LONGEST} characters and {LONGEST_BYTES} bytes"
)
_BEHIND_THE_FIRST = "._-"
# Letters by their category that show nothing: Hangul fillers, joiners and selectors of variants.
_INVISIBLE = frozenset(
    [847, 4447, 4448, 6068, 6069, 6155, 6156, 6157, 6159, 12644, 65440, *range(65024, 65040), *range(917760, 918000)]
)


def check_name(name: str) -> str:
    """The name in its composed form (NFC), if it can name an actor.

    Raises:
        UserError: it cannot.
    """
    composed = unicodedata.normalize("NFC", name)
    if not is_name(composed):
        raise UserError(f"{shortened(ascii_of(name))} cannot name an actor: {RULE}")
    return composed


def is_name(text: str) -> bool:
    """Whether a text, composed, names an actor."""
    if not text or len(text) > LONGEST or len(text.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
        return False
    if unicodedata.normalize("NFC", text) != text:
        return False
    first = unicodedata.category(text[0])
    return (first[0] == "L" or first == "Nd") and all(map(_is_allowed, text))


def same_name(one: str, other: str) -> bool:
    """Whether some file systems, or a reader, would take two names for one: in upper and lower case, full or half
    width.
    """
    return _folded(one) == _folded(other)


def ascii_of(name: str) -> str:
    """A name in quotes, with what does not show written out."""
    return repr(name) if name.isprintable() else ascii(name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_allowed(character: str) -> bool:
    if character in _BEHIND_THE_FIRST:
        return True
    category = unicodedata.category(character)
    return ord(character) not in _INVISIBLE and (category[0] == "L" or category in ("Mn", "Mc", "Nd"))
