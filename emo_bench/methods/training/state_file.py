"""The state from which a fit resumes: the file is written whole or not at all, and reading it executes nothing.

The state before it is kept as ``.<name>.previous`` until the stage ends, because a disk may damage a file.
``torch.save`` stores a CRC-32 of every part of the file, and the reader compares them.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from emo_bench.errors import UserError
from emo_bench.files import previous_of, replacing
from emo_bench.untrusted.torch_archive import read_torch

log = logging.getLogger("emo_bench")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values; a kill at any moment leaves the old file or the new one.

    The state that was there is kept as the previous one.

    Raises:
        OSError: the disk refuses it; the error names the path.
    """
    with replacing(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            # When the disk is full, torch's archive writer reports its own position instead.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
        if path.is_file():
            link_file(path, previous_of(path))


def load_state(path: Path, *, last: bool = False) -> dict[str, Any] | None:
    """Read a state. If it is damaged, a line in the log says so, and the previous state takes its place.

    Nothing from the file is executed.

    Args:
        path: the file of :func:`save_state`.
        last: accept no earlier state in its place.

    Returns:
        The state; None if there is none, or if no undamaged one is left.
    """
    if not path.exists():
        return None
    state = _read(path)
    if state is not None or last or not previous_of(path).exists():
        return state
    state = _read(previous_of(path))
    if state is not None:
        log.warning("the state before %s is used", path)
        # The next state must not make the damaged file the previous one.
        os.replace(previous_of(path), path)
    return state


def _read(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            raise UserError(f"{path} is not a regular file")
        state = read_torch(path, "state of a fit")
        if not isinstance(state, dict):
            raise UserError(f"{path} holds no state of a fit")
    except UserError as error:
        log.warning("%s: the file is ignored, and its work is done again", error)
        return None
    return state


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, by a hard link, or by a copy across file systems; an existing target is replaced.

    This is safe for files that are only ever replaced whole, as :func:`save_state` does.
    """
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
