"""Folder names of edits that a user describes in words: readable where that says it all, else with a short hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emo_bench.assets import sha256_of
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.manifest import MANIFEST, read_manifest

LONGEST = 60
HASH_DIGITS = 8
# As a command method or another that is not ours may call its reference, the digest of a picture in a run's assets.
REFERENCE = "reference picture"


def name_of(text: str, style: EditStyle, *, prefix: str = "", longest: int) -> str:
    """A name for the folder of an edit.

    Args:
        text: that it should be read as, e.g. a prompt.
        style: the edit; its hash goes into the name where the text had to be shortened, or has other letters than a to
            z.
        prefix: before it.
        longest: characters of the readable part.
    """
    words = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    shown = words[:longest].strip("-_")
    # Punctuation that is left out is no loss: who has the same words comes under another name (told_apart).
    if shown and shown == words and text.isascii():
        return f"{prefix}{shown}"
    return _hashed(f"{prefix}{shown}".strip("-") or "edit", style)


def told_apart(style: EditStyle, folder_of: Callable[[str], Path]) -> EditStyle:
    """The style under a name whose folder no edit of other captions, or towards another picture, has.

    Args:
        style: as the user describes it.
        folder_of: the run's folder by the style's name.
    """
    hashed = dataclasses.replace(style, name=_hashed(style.name, style))
    if (folder_of(hashed.name) / MANIFEST).is_file():
        return hashed
    return hashed if _is_anothers(folder_of(style.name), style) else style


def _hashed(name: str, style: EditStyle) -> str:
    digest = hashlib.sha256(json.dumps(_told(style)).encode()).hexdigest()[:HASH_DIGITS]
    if name.endswith(f"-{digest}"):
        return name
    return f"{name[: LONGEST - HASH_DIGITS - 1].rstrip('-')}-{digest}"


def _told(style: EditStyle) -> list[str]:
    """All that tells two edits apart, wherever their pictures lie."""
    return [style.source_caption, style.target_caption, _picture_sha256(style.editor_settings)]


def _is_anothers(folder: Path, style: EditStyle) -> bool:
    """Whether a folder holds the edit of another style."""
    try:
        identity = read_manifest(folder)["identity"]
    except UserError:
        # There is none, or it is damaged: whoever opens it says so.
        return False
    kept = identity.get("style") or {}
    told = [kept.get("source_caption"), kept.get("target_caption")]
    picture = identity.get("assets", {}).get(REFERENCE, _told(style)[2])
    return [*told, picture] != _told(style)


def _picture_sha256(settings: Mapping[str, Any]) -> str:
    picture = settings.get("image")
    if picture is None:
        return ""
    try:
        return sha256_of(Path(picture)) if Path(picture).is_file() else ""
    except OSError:
        # The editor says that it is not there.
        return ""
