"""The rule for actor names: letters of any script that are safe in a path, in a page and on a terminal."""

from __future__ import annotations

import unicodedata

from emo_bench.errors import UserError, shortened

LONGEST = 64
# Maximum UTF-8 bytes: names of other files are derived from it, and a file system allows 255.
LONGEST_BYTES = 180
RULE = (
    "use letters, digits, dot, dash and underscore, a letter or digit first, "
    f"at most {LONGEST} characters and {LONGEST_BYTES} bytes"
)
_BEHIND_THE_FIRST = "._-"
# Characters of the category letter that are invisible: Hangul fillers, joiners and variation selectors.
_INVISIBLE = frozenset(
    [847, 4447, 4448, 6068, 6069, 6155, 6156, 6157, 6159, 12644, 65440, *range(65024, 65040), *range(917760, 918000)]
)


def check_name(name: str) -> str:
    """Return the name in its composed form (NFC), if the rule allows it.

    Raises:
        UserError: the rule does not allow it.
    """
    composed = unicodedata.normalize("NFC", name)
    if not is_name(composed):
        raise UserError(f"{shortened(ascii_of(name))} cannot name an actor: {RULE}")
    return composed


def is_name(text: str) -> bool:
    """Return whether the rule for actor names allows a composed text."""
    if not text or len(text) > LONGEST or len(text.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
        return False
    if unicodedata.normalize("NFC", text) != text:
        return False
    first = unicodedata.category(text[0])
    return (first[0] == "L" or first == "Nd") and all(map(_is_allowed, text))


def same_name(one: str, other: str) -> bool:
    """Return whether a file system or a reader could confuse two names: by case, or by full and half width."""
    return _folded(one) == _folded(other)


def ascii_of(name: str) -> str:
    """Return a name in quotes, with invisible characters escaped."""
    return repr(name) if name.isprintable() else ascii(name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_allowed(character: str) -> bool:
    if character in _BEHIND_THE_FIRST:
        return True
    category = unicodedata.category(character)
    return ord(character) not in _INVISIBLE and (category[0] == "L" or category in ("Mn", "Mc", "Nd"))
