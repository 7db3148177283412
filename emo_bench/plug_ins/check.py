"""The outcome of one promise of a plug-in that was tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The outcome of one promise: ``ok`` is None where it could not be tried; ``detail`` says why or what."""

    name: str
    ok: bool | None
    detail: str = ""
