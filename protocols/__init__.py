"""Protocols: which frames are for training, which are held out, and which metrics score them. Importing is cheap."""

from typing import TYPE_CHECKING

import lazy_loader

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads

if TYPE_CHECKING:
    from protocols.loader import Protocol, SplitRule, list_protocols, load_protocol
    from protocols.splitting import Split, drive_split, split, view_split

__all__ = ["Protocol", "Split", "SplitRule", "drive_split", "list_protocols", "load_protocol", "split", "view_split"]

# Pydantic is imported only when a protocol is needed.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loader": ["Protocol", "SplitRule", "list_protocols", "load_protocol"],
        "splitting": ["Split", "drive_split", "split", "view_split"],
    },
)
