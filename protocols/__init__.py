"""Protocols: which frames train, which are held out, what is scored. Importing the package is cheap."""

from typing import TYPE_CHECKING, Any

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.waiting_threads

if TYPE_CHECKING:
    from protocols.loader import Protocol, SplitRule, list_protocols, load_protocol
    from protocols.splitting import Split, split

_HOME = {
    "Protocol": "loader",
    "SplitRule": "loader",
    "list_protocols": "loader",
    "load_protocol": "loader",
    "Split": "splitting",
    "split": "splitting",
}

__all__ = ["Protocol", "Split", "SplitRule", "list_protocols", "load_protocol", "split"]


def __getattr__(name: str) -> Any:
    """Import pydantic only when a protocol is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
