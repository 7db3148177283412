"""How far scores and frames may differ between machines. On one machine they must be equal in every bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERANCES: dict[str, float] = {}
LEVELS = 0.0
OTHER = 0.0


def other_machine(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say what differs between two machines that may change the last digits of a score; empty if nothing does."""
    differing = [key for key in ("processor", "cpu_capability", "device") if recorded.get(key, here[key]) != here[key]]
    before, now = recorded["packages"], here["packages"]
    differing += [f"{name} {before[name]}" for name in before if name in now and before[name] != now[name]]
    return ", ".join(differing)


def allowed_difference(metric: str, elsewhere: str) -> float:
    """Return the allowed difference of a metric's score: 0 on the machine of the run (``elsewhere`` is empty)."""
    return TOLERANCES.get(metric, OTHER) if elsewhere else 0.0


def allowed_levels(elsewhere: str) -> float:
    """Return the allowed difference of a rendered channel, in levels of 0 to 255."""
    return LEVELS if elsewhere else 0.0
