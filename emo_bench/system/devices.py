"""The compute device of a run, with torch's and Warp's name for it, and mixed precision."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import TYPE_CHECKING

from emo_bench.errors import UserError

if TYPE_CHECKING:
    import torch

log = logging.getLogger("emo_bench")


def numbered(device: str) -> str:
    """Return ``cuda:0`` for ``cuda``, a name that Warp does not know; return any other name unchanged."""
    return "cuda:0" if device == "cuda" else device


def on_gpu(device: str) -> bool:
    """Return whether a device is a GPU."""
    return device.startswith("cuda")


def chosen_device(asked: str | None) -> str:
    """Return ``cpu`` or a GPU with its number (``cuda:0``): the requested one, or for None a GPU if torch finds one.

    Raises:
        UserError: torch finds no such device on this machine.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked is None:
        return "cuda:0" if gpus else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", asked):
        raise UserError(f"there is no device {asked!r}: give cpu or cuda")
    if on_gpu(asked) and int(asked.partition(":")[2] or 0) >= gpus:
        raise UserError(f"there is no device {asked}: torch finds {gpus or 'no'} GPUs here; give cpu")
    return numbered(asked)


def mixed_precision(device: str | torch.device, wanted: bool) -> torch.autocast:
    """Return a context in which networks compute in bfloat16, if ``wanted``.

    A GPU that only emulates bfloat16 (before NVIDIA's Ampere) computes in float32, which is faster.
    """
    import torch

    kind = torch.device(device).type
    enabled = wanted and (kind != "cuda" or _gpu_has_bfloat16())
    return torch.autocast(kind, torch.bfloat16, enabled=enabled)


@cache
def _gpu_has_bfloat16() -> bool:
    import torch

    able = torch.cuda.is_bf16_supported(including_emulation=False)
    if not able:
        log.info("this GPU does not support bfloat16: networks compute in float32")
    return able
