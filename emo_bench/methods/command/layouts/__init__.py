"""Export captures in the layouts of other repositories; held-out frames become driving signals, not pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.errors import UserError

if TYPE_CHECKING:
    from emo_bench.actors.capture import Capture

LAYOUTS = {
    "plain": "emo_bench.methods.command.layouts.plain",
    "style-avatar": "emo_bench.methods.command.layouts.style_avatar",
}


def export_training(layout: str, capture: Capture, train: Sequence[int], folder: Path, size_px: int) -> None:
    """Export what a fit may read: pictures of the training frames, and the track of all frames.

    Args:
        layout: one of :data:`LAYOUTS`.
        capture: only its frames ``train`` are read.
        folder: is made; files in it that have the same names are replaced.
        size_px: side of the square pictures; the camera is scaled with them.

    Raises:
        UserError: there is no such layout.
    """
    _module(layout).export_training(capture, train, folder, size_px)


def export_driving(layout: str, capture: Capture, indices: Sequence[int], folder: Path, size_px: int) -> None:
    """Export the signals that drive the frames ``indices``; no picture of the video is read.

    Raises:
        UserError: there is no such layout.
    """
    _module(layout).export_driving(capture, indices, folder, size_px)


def _module(layout: str):  # type: ignore[no-untyped-def]
    from importlib import import_module

    if layout not in LAYOUTS:
        raise UserError(f"there is no export layout {layout!r} (known: {', '.join(LAYOUTS)})")
    return import_module(LAYOUTS[layout])
