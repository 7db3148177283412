"""How much memory a device has."""

from __future__ import annotations

from pathlib import Path

from emo_bench.system.devices import on_gpu

# The limit of the container that this process runs in (cgroup v2); "max" if there is none.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_bytes(device: str) -> int:
    """Return the memory of a GPU, or that of the machine or of the container where it is smaller, in bytes."""
    if on_gpu(device):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        limit = CONTAINER_LIMIT.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
