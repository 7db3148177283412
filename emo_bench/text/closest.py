"""Which known name somebody meant who mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# More names than this are no help.
MOST_OF_A_FAMILY = 4


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, in capitals or not; None where none is much like it."""
    lowered = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[near[0]] if near else None


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The known names that somebody may have meant: the same in other capitals, a family, or the closest; maybe none.

    A family are names that begin with ``name`` as a whole word.

    >>> meant("PSNR", ["psnr", "psnr_global"])
    ['psnr']
    >>> meant("AED", ["aed_deep3d", "aed_smirk", "aedes", "apd_smirk"])
    ['aed_deep3d', 'aed_smirk']
    """
    known = list(known)
    low = name.lower()
    same = [one for one in known if one.lower() == low]
    family = [one for one in known if one.lower().startswith((f"{low}_", f"{low}-"))]
    near = closest(name, known)
    return same[:1] or family[:MOST_OF_A_FAMILY] or ([near] if near else [])
