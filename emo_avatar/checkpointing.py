"""Files a fit goes on from: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values so that a kill at any moment leaves a whole file."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Read a state back, or None where there is none. Executes nothing from the file."""
    if not path.exists():
        return None
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, as a hard link, or as a copy across file systems; an existing target is replaced.

    Safe for files that are only ever replaced whole, as :func:`save_state` does.
    """
    temporary = target.with_name(target.name + ".part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
