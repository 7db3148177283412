"""How a diffusion editor saves memory: half precision, decoding in parts, networks that leave the GPU.

Attention needs no setting: torch's ``scaled_dot_product_attention``, which diffusers and the editors here use, never
holds the scores of all pairs of tokens. The attention slicing of diffusers would hold more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from emo_bench.errors import UserError
from emo_bench.system.device_memory import memory_bytes
from emo_bench.system.devices import on_gpu

Memory = Literal["full", "half", "tiled", "offloaded"]
"""What an editor does to save memory, each more than the one before.

- ``full``: the networks compute in 32-bit numbers.
- ``half``: on a GPU, in 16-bit numbers.
- ``tiled``: the autoencoder also takes one picture at a time, and large pictures in tiles.
- ``offloaded``: each network is also on the GPU only while it computes.
"""
DESCRIPTION = "what saves memory: full, half, tiled, offloaded; None: what the machine's memory asks for"
# The least memory of a GPU for the first two levels, as multiples of the files of the weights.
HALF_FROM, TILED_FROM = 3.0, 1.5
PARTS = ("unet", "vae", "text_encoder")


def chosen_memory(asked: Memory | None, device: str, pipeline: Path) -> Memory:
    """Return what an editor does to save memory on a device: what is asked for, or what the device's memory asks for.

    Args:
        asked: the user's choice, or None.
        device: the device of the networks.
        pipeline: the folder of the pipeline; its weights are compared with the memory of a GPU.

    Raises:
        UserError: half precision or offloading is asked for without a GPU.
    """
    if not on_gpu(device):
        if asked in {"half", "offloaded"}:
            raise UserError(f"--set memory={asked}: this needs a GPU; take memory=tiled, or leave it out")
        return asked or "full"
    if asked is not None:
        return asked
    share = memory_bytes(device) / max(_weights_bytes(pipeline), 1)
    if share >= HALF_FROM:
        return "half"
    return "tiled" if share >= TILED_FROM else "offloaded"


def is_half(memory: Memory, device: str) -> bool:
    """Return whether the networks compute in 16-bit numbers."""
    return on_gpu(device) and memory != "full"


def is_offloaded(memory: Memory) -> bool:
    """Return whether networks leave the GPU."""
    return memory == "offloaded"


def save_decoding_memory(vae: Any, memory: Memory) -> None:
    """Let an autoencoder of diffusers take pictures one by one and in tiles, if the level says so."""
    if memory in {"tiled", "offloaded"}:
        vae.enable_slicing()
        vae.enable_tiling()


def _weights_bytes(pipeline: Path) -> int:
    """Return the bytes of the files of the weights, without copies in another format."""
    total = 0
    for part in PARTS:
        files = list((pipeline / part).glob("*.safetensors")) or list((pipeline / part).glob("*.bin"))
        total += sum(file.stat().st_size for file in files)
    return total
