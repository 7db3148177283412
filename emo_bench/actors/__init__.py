"""Actors: people and their videos, bundled or the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emo_bench.actors.capture import Capture, Track
    from emo_bench.actors.library import ActorInfo, list_actors, load

__all__ = ["ActorInfo", "Capture", "Track", "list_actors", "load"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("ActorInfo", "list_actors", "load"):
        return getattr(import_module("emo_bench.actors.library"), name)
    if name in ("Capture", "Track"):
        return getattr(import_module("emo_bench.actors.capture"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
