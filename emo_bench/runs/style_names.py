"""Folder names of edits that a user describes in words: readable if the words are enough, else with a short hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emo_bench.assets import sha256_of
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.manifest import MANIFEST, read_manifest

LONGEST = 60
HASH_DIGITS = 8
# Key of the user's picture among a run's assets; its value is the digest of the picture. Methods that are not ours #
# may use the same key.
REFERENCE = "reference picture"
REFERENCE_PREFIX, INSTRUCTION_PREFIX = "own-", "instruction-"


def is_told_in_words(style: EditStyle) -> bool:
    """Return whether the user described the edit on the command line, so that its name may be that of another one."""
    return style.editor == "file" or style.name.startswith(INSTRUCTION_PREFIX)


def name_of(text: str, style: EditStyle, *, prefix: str = "", longest: int) -> str:
    """Return a name for the folder of an edit.

    Args:
        text: what the name should read as, e.g. a prompt.
        style: the edit; its hash is part of the name if the text is shortened or has characters other than a to z.
        prefix: put before the text.
        longest: greatest number of characters of the readable part.
    """
    words = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    shown = words[:longest].strip("-_")
    # Punctuation may be left out: an edit with the same words gets another name (told_apart).
    if shown and shown == words and text.isascii():
        return f"{prefix}{shown}"
    return _hashed(f"{prefix}{shown}".strip("-") or "edit", style)


def told_apart(style: EditStyle, folder_of: Callable[[str], Path]) -> EditStyle:
    """Return the style under a name that no other edit has: an edit with other captions or another picture.

    Args:
        style: the style as the user describes it.
        folder_of: gives the run's folder for a style's name.
    """
    hashed = dataclasses.replace(style, name=_hashed(style.name, style))
    if (folder_of(hashed.name) / MANIFEST).is_file():
        return hashed
    return hashed if _is_anothers(folder_of(style.name), style) else style


def require_distinct(styles: Sequence[EditStyle]) -> None:
    """Refuse two edits of one name, which would lie in one folder.

    Raises:
        UserError: two styles have the same name.
    """
    names = [style.name for style in styles]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"--style: {twice} is given twice: give each style once, and styles of your own other names")


def _hashed(name: str, style: EditStyle) -> str:
    digest = hashlib.sha256(json.dumps(_told(style)).encode()).hexdigest()[:HASH_DIGITS]
    if name.endswith(f"-{digest}"):
        return name
    return f"{name[: LONGEST - HASH_DIGITS - 1].rstrip('-')}-{digest}"


def _told(style: EditStyle) -> list[str]:
    """Return everything in which two edits can differ; the place of the picture does not count."""
    told = [style.source_caption, style.target_caption, _picture_sha256(style.editor_settings)]
    return [*told, *_instruction(style.instruction, style.target_caption)]


def _is_anothers(folder: Path, style: EditStyle) -> bool:
    """Return whether a folder holds the edit of another style."""
    try:
        identity = read_manifest(folder)["identity"]
    except UserError:
        # The folder holds no run, or a damaged one; the code that opens it reports that.
        return False
    kept = identity.get("style") or {}
    told = [kept.get("source_caption"), kept.get("target_caption")]
    picture = identity.get("assets", {}).get(REFERENCE, _told(style)[2])
    return [*told, picture, *_instruction(kept.get("instruction"), kept.get("target_caption"))] != _told(style)


def _instruction(instruction: str | None, target_caption: str | None) -> list[str]:
    """Return the instruction if it says more than the caption; names of edits without one stay as they were."""
    return [] if instruction is None or instruction == target_caption else [instruction]


def _picture_sha256(settings: Mapping[str, Any]) -> str:
    picture = settings.get("image")
    if picture is None:
        return ""
    try:
        return sha256_of(Path(picture)) if Path(picture).is_file() else ""
    except OSError:
        # The editor reports that the picture is missing.
        return ""
