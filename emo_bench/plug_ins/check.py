"""The result of a check of a plug-in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one check: ``ok`` is None if it could not be made; ``detail`` says why, or what was found."""

    name: str
    ok: bool | None
    detail: str = ""
