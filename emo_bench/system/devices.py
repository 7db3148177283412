"""The compute device of a run, with torch's and Warp's name for it, and mixed precision."""

from __future__ import annotations

import logging
import platform
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.errors import UserError

if TYPE_CHECKING:
    import torch

log = logging.getLogger("emo_bench")


def numbered(device: str) -> str:
    """Return ``cuda:0`` for ``cuda``, a name that Warp does not know; return any other name unchanged."""
    return "cuda:0" if device == "cuda" else device


@cache
def processor() -> str:
    """Return the name of the processor's model."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


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

    A device that only emulates bfloat16 computes in float32, which is faster: a GPU before NVIDIA's Ampere, and a
    processor without instructions for bfloat16, where the emulation takes ten times as long.
    """
    import torch

    kind = torch.device(device).type
    able = has_bfloat16(device)
    if wanted and not able:
        _say_float32(kind)
    return torch.autocast(kind, torch.bfloat16, enabled=wanted and able)


@cache
def _say_float32(kind: str) -> None:
    name = "GPU" if kind == "cuda" else "processor"
    log.info("this %s does not support bfloat16: networks compute in float32", name)


def has_bfloat16(device: str | torch.device) -> bool:
    """Return whether a device computes in bfloat16 by instructions of its own."""
    import torch

    return _gpu_has_bfloat16() if torch.device(device).type == "cuda" else _processor_has_bfloat16()


@cache
def _gpu_has_bfloat16() -> bool:
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


@cache
def _processor_has_bfloat16() -> bool:
    import torch

    if platform.machine().lower() in {"x86_64", "amd64"}:
        # torch before 2.6 does not tell AVX-512 with bfloat16 from AVX-512 without it.
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", _has_avx512)())
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _has_avx512() -> bool:
    import torch

    return str(torch.backends.cpu.get_cpu_capability()).startswith("AVX512")
