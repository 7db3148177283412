"""The state from which a fit resumes: the file is written whole or not at all, and reading it executes nothing."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from emo_bench.errors import UserError
from emo_bench.files import replacing
from emo_bench.untrusted.torch_archive import read_torch

log = logging.getLogger("emo_bench")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values; a kill at any moment leaves the old file or the new one.

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


def load_state(path: Path) -> dict[str, Any] | None:
    """Read a state; None if there is none, or, with a line in the log, if it is damaged.

    Nothing from the file is executed.
    """
    if not path.exists():
        return None
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
