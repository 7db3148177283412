"""The machine of a measurement (versions, commit, processor, memory) and the peak memory of a stage."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from emo_bench import __version__
from emo_bench.system.devices import has_bfloat16, processor

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "av", "mediapipe", "warp-lang", "lpips")


def describe_machine(device: str) -> dict[str, Any]:
    """Return the versions of packages that affect scores, the commit of the source and the hardware."""
    return {
        "emo_bench": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        **_arithmetic(),
        "cores": os.cpu_count(),
        "device": _device_name(device),
        "bfloat16": has_bfloat16(device),
    }


def source_commit() -> str | None:
    """Return the commit of the source checkout, or None; ``-dirty`` follows if files have changed."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    # Without optional locks this command cannot make another git command in the checkout fail.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
        return described.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


class MemoryPeak:
    """Measure the peak resident memory of the process, and of the GPU, since this object was made.

    Linux can reset its peak; on other systems the peak is that of the whole process so far.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        if self._on_gpu():
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def read_mib(self) -> dict[str, float]:
        """Return ``memory_mib``, and ``gpu_memory_mib`` on a GPU."""
        peaks = {"memory_mib": round(_peak_resident_mib(), 1)}
        if self._on_gpu():
            import torch

            peaks["gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(self._device) / 2**20, 1)
        return peaks

    def _on_gpu(self) -> bool:
        return self._device.startswith("cuda")


def _peak_resident_mib() -> float:
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _arithmetic() -> dict[str, Any]:
    """Return what decides the last digits of a sum: torch's instructions, e.g. ``AVX512``, and its threads."""
    import torch

    return {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device}: {torch.cuda.get_device_name(device)}"
