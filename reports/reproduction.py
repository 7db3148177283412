"""How to make a row again: its command, and the versions of the packages and the code."""

from __future__ import annotations

import shlex
from typing import Any

from emo_bench.errors import UserError
from emo_bench.methods.interface import GIVEN_PROFILE
from emo_bench.runs.manifest import read_manifest
from reports.rows import Row

FILE_EDITOR = "file"


def command(row: Row) -> str:
    """The ``emo-bench`` command of a row. Capitals stand for what the run does not record, such as a folder."""
    identity = row.identity
    clip = (row.stages["score"].get("inputs") or {}).get("clip")
    if identity["profile"] == GIVEN_PROFILE:
        words = ["score", "FRAMES", "--actor", identity["actor"]["name"], "--name", identity["method"]]
        words += _protocol(identity)
        if row.style:
            style = identity["style"]
            words += ["--source-prompt", style["source_caption"], "--prompt", style["target_caption"]]
        return _shell(words + (["--clip", clip] if clip else []))
    fitted = _base_identity(row) if row.style else identity
    words = ["run", "--method", identity["method"], "--actor", identity["actor"]["name"]]
    words += _protocol(fitted)
    words += ["--profile", identity["profile"], "--seed", str(identity["seed"])]
    settings = dict(identity["settings"])
    if clip:
        settings["clip"] = clip
        settings.pop("edit.clip", None)
    for key, value in sorted(settings.items()):
        words += ["--set", f"{key}={value}"]
    words += _edit(identity["style"]) if row.style else ["--skip-edit"]
    return _shell(words)


def versions(row: Row) -> dict[str, Any]:
    """Package versions, commit and platform of the score stage, as plain JSON values."""
    machine = row.stages["score"]["machine"]
    return {key: machine.get(key) for key in ("emo_bench", "commit", "python", "packages", "platform")}


def _protocol(identity: dict[str, Any]) -> list[str]:
    return ["--protocol", identity["protocol"]["name"], "--split", identity["split"]["name"]]


def _edit(style: dict[str, Any]) -> list[str]:
    if style["editor"] != FILE_EDITOR:
        return ["--style", style["name"]]
    captions = ["--source-prompt", style["source_caption"], "--prompt", style["target_caption"]]
    image = style["editor_settings"].get("image", "IMAGE")
    return ["--reference", str(image), *captions]


def _base_identity(row: Row) -> dict[str, Any]:
    """The identity of the run that was edited, two folders above.

    If that run is missing or damaged, the default protocol and split.
    """
    try:
        return dict(read_manifest(row.run.path.parent.parent)["identity"])
    except UserError:
        return {"protocol": {"name": "self_reenactment"}, "split": {"name": "tail-500"}}


def _shell(words: list[str]) -> str:
    return "emo-bench " + shlex.join(words)
