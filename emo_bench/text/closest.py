"""Which known name somebody meant who mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``; None where none is much like it."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None
