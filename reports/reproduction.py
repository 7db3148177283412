"""How to make a row again: its command, and the versions of the packages and the code."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.methods.interface import GIVEN_PROFILE
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.style_names import INSTRUCTION_PREFIX
from protocols import loader as protocols
from protocols import styles
from reports.rows import Row

FILE_EDITOR = "file"


def command(row: Row) -> str:
    """The ``emo-bench`` command of a row. Capitals stand for what the run does not record, such as PATH."""
    identity, manifest = row.identity, row.run.manifest
    clip = (row.stages["score"].get("inputs") or {}).get("clip")
    if identity["profile"] == GIVEN_PROFILE:
        words = ["score", "FRAMES", "--actor", identity["actor"]["name"], "--name", identity["method"]]
        words += _protocol(identity, manifest)
        if row.style:
            style = identity["style"]
            words += ["--source-prompt", style["source_caption"], "--prompt", style["target_caption"]]
        return _shell(words + (["--clip", clip] if clip else []))
    fitted = _base_manifest(row) if row.style and row.kind != VIDEO_EDITOR else manifest
    words = ["run", "--method", _method(fitted, identity), "--actor", identity["actor"]["name"]]
    words += ["--driver", identity["driver"]["name"]] if "driver" in identity else []
    words += _protocol(fitted["identity"], fitted)
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


def _method(manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """The method as a user names it: the place of its file if it has one, else its name."""
    if manifest.get("method_place"):
        return _from_here(manifest["method_place"])
    return "PATH/FILE.py:CLASS" if "method_file_sha256" in identity else str(identity["method"])


def _protocol(identity: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    name = str(identity["protocol"]["name"])
    if manifest.get("protocol_place"):
        name = _from_here(manifest["protocol_place"])
    elif not (protocols.FOLDER / f"{name}.toml").is_file():
        name = f"PATH/{name}.toml"
    return ["--protocol", name, "--split", identity["split"]["name"]]


def _from_here(place: str) -> str:
    """The path of a file, relative if it is below the working directory.

    A report should say no more about somebody's disk than its reader needs.
    """
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else place


def _edit(style: dict[str, Any]) -> list[str]:
    captions = ["--source-prompt", style["source_caption"], "--prompt", style["target_caption"]]
    if str(style["name"]).startswith(INSTRUCTION_PREFIX):
        return ["--instruction", style["instruction"], *captions]
    if style["editor"] != FILE_EDITOR:
        ours = (styles.FOLDER / f"{style['name']}.toml").is_file()
        return ["--style", style["name"] if ours else f"PATH/{style['name']}.toml"]
    image = style["editor_settings"].get("image", "IMAGE")
    return ["--reference", str(image), *captions]


def _base_manifest(row: Row) -> dict[str, Any]:
    """The manifest of the run that was edited, two folders above.

    If that run is missing or damaged, the default protocol and split.
    """
    try:
        return read_manifest(row.run.path.parent.parent)
    except UserError:
        return {"identity": {"protocol": {"name": "self_reenactment"}, "split": {"name": "tail-500"}}}


def _shell(words: list[str]) -> str:
    return "emo-bench " + shlex.join(words)
