"""The device that a run computes on, as torch and Warp name it, and its mixed precision."""

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
    """``cuda:0`` for ``cuda``, which Warp does not know; any other name as it is."""
    return "cuda:0" if device == "cuda" else device


def on_gpu(device: str) -> bool:
    """Whether a device is a GPU."""
    return device.startswith("cuda")


def chosen_device(asked: str | None) -> str:
    """``cpu`` or, with its number, a GPU (``cuda:0``): the one asked for, or for None a GPU where torch has one.

    Raises:
        UserError: torch has no such device here.
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
    """A context in which networks compute in bfloat16, if that is wanted.

    A GPU that can only imitate bfloat16 (before NVIDIA's Ampere) computes in float32: that is faster.
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
        log.info("this GPU has no bfloat16: networks compute in float32")
    return able
