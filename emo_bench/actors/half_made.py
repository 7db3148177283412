"""Folders of unfinished actors: a person's video must not remain in a folder that no process will finish."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emo_bench.files import remove_if_dead, remove_tree, try_lock
from emo_bench.system.signals import leaving_in_order

# The folder is hidden, so that no list of actors shows it.
HALF_MADE = re.compile(r"\..{1,64}-[0-9a-f]{16}\.part")
SET_ASIDE = re.compile(r"\.(?P<name>.{1,64})-[0-9a-f]{16}\.old")


@contextmanager
def making(name: str, parent: Path) -> Iterator[Path]:
    """Create a new folder in ``parent`` for an actor; the block must rename it when it is complete.

    If the block fails, is interrupted or is terminated, the folder is removed at once; if this process is killed, the
    next :func:`remove_half_made` removes it.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_half_made(parent)
    folder = parent / f".{name}-{secrets.token_hex(8)}.part"
    with leaving_in_order():
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The lock shows that the process which makes the folder is running.
            try_lock(descriptor)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def put_in_place(folder: Path, target: Path) -> None:
    """Give a complete folder the name ``target``; an actor of that name is replaced.

    However this ends, one of both actors is there, whole: the old one is set aside, and removed when the new one has
    the name. If this process is killed between the two, the next :func:`remove_half_made` puts the old one back.
    """
    if not target.exists():
        os.rename(folder, target)
        return
    aside = target.parent / f".{target.name}-{secrets.token_hex(8)}.old"
    try:
        os.rename(target, aside)
        os.rename(folder, target)
    finally:
        _settle(aside, target)


def remove_half_made(parent: Path) -> None:
    """Remove the folders of processes that were killed, but not those of running processes, and not links.

    An actor that such a process had set aside gets its name back, unless another has it.
    """
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if HALF_MADE.fullmatch(entry.name):
                remove_if_dead(Path(entry.path), stat.S_IFDIR)
            elif aside := SET_ASIDE.fullmatch(entry.name):
                _settle(Path(entry.path), parent / aside["name"])


def _settle(aside: Path, target: Path) -> None:
    """Remove an actor that was set aside, or give it its name back if nobody has it."""
    if not target.exists():
        os.rename(aside, target)
    remove_tree(aside)
