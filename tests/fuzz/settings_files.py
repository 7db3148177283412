"""TOML files that users write: protocols, styles, thresholds, command methods, ablations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Place, Reader
from tests.fuzz.value_changes import changed_toml

COMMAND_METHOD = """
name = "painter"
title = "Painter"
licence = "MIT"
fidelity = "a test"
resolution_px = 64
layout = "plain"
settings = {strength = "3"}
[fit]
command = "true {data} {work} {strength}"
timeout_s = 10
[render]
command = "cp {here}/a.png {out}/00000.png"
frames = "{out}"
timeout_s = 10
"""


def settings_files(folder: Path) -> Sequence[bytes]:
    """One of each kind, those of the toolkit where it has one."""
    import protocols
    from tests.conftest import QUICK_PROTOCOL

    own = Path(protocols.__file__).parent
    files = (own / "styles" / "comic.toml", own / "thresholds" / "smoke.toml", own / "ablation.toml")
    return [QUICK_PROTOCOL.encode(), COMMAND_METHOD.encode(), *(file.read_bytes() for file in files)]


def open_settings(prepared: Path, scratch: Path) -> Place:
    """The same file as each kind, and what follows from a protocol."""
    import numpy as np

    from emo_bench.methods.command.file import read_command_file
    from protocols.ablation import load_ablation
    from protocols.loader import load_protocol
    from protocols.splitting import split
    from protocols.styles import load_style
    from reports.gate.thresholds import load_thresholds

    file = scratch / "quick.toml"

    def protocol() -> None:
        loaded = load_protocol(str(file))
        loaded.hash()
        for name in loaded.splits:
            split(loaded, 150, np.arange(150), name)

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return (
            protocol,
            lambda: load_style(str(file)),
            lambda: load_thresholds(file),
            lambda: read_command_file(file),
            lambda: load_ablation(file),
        )

    return place


READERS = (
    Reader("toml", ("numpy", "emo_bench.methods.command.file", "protocols.ablation", "reports.gate.thresholds"),
        settings_files, changed_toml, open_settings),
)  # fmt: skip
