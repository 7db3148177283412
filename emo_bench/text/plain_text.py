r"""Show text from untrusted sources: escape terminal controls, marks of writing direction and line breaks.

Every output passes quoted text through :func:`printable`, and then through the rules of its own format:
``reports.markdown``, ``reports.pages.html``, ``reports.pages.latex``, ``emo_bench.text.csv_text``, :func:`json_text`,
:func:`unmarked`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

# Control characters, lone UTF-16 surrogates, line separators, and marks that change the writing direction.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text on one line: invisible characters become a blank or an escape (``\x1b``, ``\u202e``)."""
    return UNPRINTABLE.sub(_written_out, text)


def unmarked(text: str) -> str:
    """Return :func:`printable` text without anything that rich would take for markup."""
    from rich.markup import escape

    return escape(printable(text))


def json_text(
    value: Any, indent: int | None = 2, default: Callable[[Any], Any] | None = None, *, allow_nan: bool = False
) -> str:
    r"""Write a value as JSON; only unprintable characters are escaped (``\u202e``), and reading restores them.

    Raises:
        ValueError: a number is not finite, and ``allow_nan`` is false.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=allow_nan, default=default)
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    character = found[0]
    return " " if character.isspace() else ascii(character)[1:-1]
