r"""Words of others, shown: what would steer a terminal, turn the writing round or break a line is written out.

Every output passes the words that it quotes through :func:`printable`, and then through the rules of its own format:
``reports.markdown``, ``reports.pages.html``, ``reports.pages.latex``, ``emo_bench.text.csv_text``, :func:`json_text`,
:func:`unmarked`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

# Control characters, half pairs of UTF-16, separators of lines, and marks that change the direction of writing.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text on one line: white space is a blank, another character that is no letter to see becomes ``\x1b``,
    ``\u202e``.
    """
    return UNPRINTABLE.sub(_written_out, text)


def unmarked(text: str) -> str:
    """:func:`printable` text in which rich sees no markup."""
    from rich.markup import escape

    return escape(printable(text))


def json_text(
    value: Any, indent: int = 2, default: Callable[[Any], Any] | None = None, *, allow_nan: bool = False
) -> str:
    r"""A value as JSON of readable letters; what is not :func:`printable` stands as ``\u202e``, so that it is read
    back.

    Raises:
        ValueError: a number is not finite, and ``allow_nan`` is false.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=allow_nan, default=default)
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    character = found[0]
    return " " if character.isspace() else ascii(character)[1:-1]
