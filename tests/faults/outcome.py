"""What a run must leave whatever happened meanwhile: its scores, frames and fit to the byte, and no other files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

# Equal to the byte, wherever a process was killed. Other files hold times.
EQUAL = ("frames.parquet", "checkpoint.safetensors", "train.csv")


def outcome(folder: Path) -> dict[str, str]:
    """The SHA-256 of what must be equal, by its path, and for every other file its path alone."""
    found: dict[str, str] = {}
    for path in sorted((folder / "runs").rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.name in EQUAL else ""
        if path.name == "run.json":
            stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
            found[f"{name}, frames"] = stages["render"]["frames_sha256"]
    return found


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """One line for each difference."""
    lines = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    lines += [f"{name} is left over" for name in found.keys() - wanted.keys()]
    return sorted(lines + [f"{name} differs" for name in wanted.keys() & found.keys() if wanted[name] != found[name]])


def left_over(folder: Path) -> list[str]:
    """Temporary files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.part"))
