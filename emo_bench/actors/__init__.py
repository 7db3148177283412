"""Actors: people and their videos, bundled or added by the user."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from emo_bench.actors.capture import Capture, Track
    from emo_bench.actors.library import ActorInfo, list_actors, load

__all__ = ["ActorInfo", "Capture", "Track", "list_actors", "load"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"capture": ["Capture", "Track"], "library": ["ActorInfo", "list_actors", "load"]}
)
