"""How many processes of a sweep run at the same time on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from emo_bench.errors import UserError
from emo_bench.system.devices import chosen_device, on_gpu

AUTO = "auto"
# Memory of a run in profile cpu at 128 px, by the runs of docs/results: 1.2 to 2.2 GiB.
USUAL_MEMORY_MIB = 2200.0


@dataclass(frozen=True)
class Jobs:
    """The processes of a sweep.

    Attributes:
        count: how many run at the same time.
        gpus: the GPUs that they take in turn, as ``CUDA_VISIBLE_DEVICES`` names them; empty on a CPU.
        why: where the number comes from, for the plan.
        is_limit: ``count`` is only the most that run at the same time; a cluster decides how many do.
    """

    count: int
    gpus: tuple[str, ...] = ()
    why: str = ""
    is_limit: bool = False


def chosen_jobs(asked: str, device: str | None, memory_mib: float | None = None) -> Jobs:
    """Return the processes that ``--jobs`` asks for.

    ``auto`` is one process for each GPU. Without a GPU it is one for each core, as far as their memory is free.

    Args:
        asked: a number, or ``auto``.
        device: ``cpu`` or ``cuda``; None is a GPU if there is one.
        memory_mib: greatest memory of such runs so far; None if it is not known.

    Raises:
        UserError: it is no number from 1 to 1000, or a GPU was named by its number.
    """
    require_jobs(asked, device)
    gpus = visible_gpus() if on_gpu(chosen_device(device)) else ()
    if asked != AUTO:
        return Jobs(int(asked), gpus, "as asked")
    if gpus:
        return Jobs(len(gpus), gpus, "one for each GPU")
    return _by_cores_and_memory(memory_mib or USUAL_MEMORY_MIB)


def require_jobs(asked: str, device: str | None) -> None:
    """Check ``--jobs`` and ``--device``, without a look at the machine.

    Raises:
        UserError: as :func:`chosen_jobs`.
    """
    if asked != AUTO and not (asked.isascii() and asked.isdecimal() and 1 <= int(asked[:5]) <= 1000):
        raise UserError(f"--jobs {asked}: give a number from 1 to 1000, or {AUTO}")
    if device is not None and ":" in device:
        raise UserError(f"--device {device}: each process of --jobs takes a GPU of its own; give --device cuda")


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that torch finds, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(str(number) for number in range(count))


def _by_cores_and_memory(memory_mib: float) -> Jobs:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free_mib = psutil.virtual_memory().available / 2**20
    fitting = int(free_mib // memory_mib)
    if fitting < cores:
        return Jobs(max(fitting, 1), (), f"{free_mib / 1024:.1f} GiB are free, {memory_mib / 1024:.1f} GiB a run")
    return Jobs(cores, (), "one for each core")
