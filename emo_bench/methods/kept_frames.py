"""Edited frames that are kept while an edit runs, so that a killed edit goes on with the frames that are there."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.files import remove_tree, write_bytes
from emo_bench.untrusted.npy import read_npy
from emo_bench.untrusted.refusal import Unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "edited"

log = logging.getLogger("emo_bench")


def edit_in_batches(
    frames: NDArray[np.uint8], edit: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]], folder: Path, batch: int = 1
) -> Iterator[NDArray[np.uint8]]:
    """Yield the edited frames; each finished batch is kept in a file until the last frame was taken.

    Args:
        frames: the clip, ``uint8 [N, R, R, 3]``.
        edit: gets the frames of a batch and the position of the first in the clip, and gives the edited frames, of the
            same shape and type. These must not depend on the batches before it.
        folder: the folder of the workspace; the files lie in its folder ``edited``.
        batch: frames in a batch; the last batch may be smaller.
    """
    for start in range(0, len(frames), batch):
        part = frames[start : start + batch]
        path = folder / FOLDER / f"{start:06d}-{len(part)}.npy"
        edited = _kept(path, part)
        if edited is None:
            edited = np.asarray(edit(part, start))
            if edited.shape != part.shape or edited.dtype != np.uint8:
                raise ValueError(f"the edit of frames {part.shape} gives {edited.dtype} {edited.shape}")
            path.parent.mkdir(exist_ok=True)
            content = io.BytesIO()
            np.save(content, edited)
            write_bytes(path, content.getvalue())
        yield from edited
    remove_tree(folder / FOLDER)


def _kept(path: Path, like: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the kept batch; None if there is none, or if its file is damaged."""
    try:
        with path.open("rb") as file:
            found = read_npy(file, path.stat().st_size)
    except FileNotFoundError:
        return None
    except (Unreadable, OSError) as error:
        log.warning("%s: %s: the frames are edited again", path, error)
        return None
    return found if found.shape == like.shape and found.dtype == np.uint8 else None
