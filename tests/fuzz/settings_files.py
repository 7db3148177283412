"""TOML files that users write: protocols, styles, thresholds, command methods, ablations, assets of plug-ins."""

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
# A split that lists its frames.
LISTED_FRAMES = """
[splits.listed]
kind = "frames"
train = ["0-49", 60, "70-79"]
held_out = ["100-109", 115]
guard_frames = 5
"""
PLUG_IN_ASSETS = """
[[asset]]
name = "mine"
file = "mine.safetensors"
kind = "segmentation"
licence = "MIT"
size_bytes = 4
sha256 = "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"
needed_by = ["method mine"]
source = "us"
urls = ["https://example.org/mine.safetensors"]
carriers = [{ distribution = "mine", file = "mine/weights/mine.safetensors" }]
"""


def settings_files(folder: Path) -> Sequence[bytes]:
    """One of each kind, those of the toolkit where it has one."""
    import protocols
    from tests.conftest import QUICK_PROTOCOL

    own = Path(protocols.__file__).parent
    files = (own / "styles" / "comic.toml", own / "thresholds" / "smoke.toml", own / "ablation.toml")
    listed = QUICK_PROTOCOL.replace("[scoring]", f"{LISTED_FRAMES}[scoring]")
    texts = (QUICK_PROTOCOL, listed, COMMAND_METHOD, PLUG_IN_ASSETS)
    return [*(text.encode() for text in texts), *(file.read_bytes() for file in files)]


def open_settings(prepared: Path, scratch: Path) -> Place:
    """The same file as each kind, and what follows from a protocol."""
    import numpy as np

    from emo_bench.assets.catalogue import read_catalogue
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
            lambda: read_catalogue(file),
        )

    return place


READERS = (
    Reader("toml", ("numpy", "emo_bench.methods.command.file", "protocols.ablation", "reports.gate.thresholds"),
        settings_files, changed_toml, open_settings),
)  # fmt: skip
