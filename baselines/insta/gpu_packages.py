"""CUDA packages that INSTA uses if they are installed and work: tiny-cuda-nn and nerfacc."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import cache
from types import ModuleType

log = logging.getLogger("emo_bench")

# From this version on, densities give a tuple of weights, transmittance and opacity.
LEAST_NERFACC = (0, 5)


def tiny_cuda_nn() -> ModuleType | None:
    """Return the module ``tinycudann``, or None if it is not installed or does not load (which is logged)."""
    return _loaded("tinycudann")


def nerfacc() -> ModuleType | None:
    """Return the module ``nerfacc``, or None if it is not installed, is too old or does not load (which is logged)."""
    return _loaded("nerfacc")


@cache
def _loaded(name: str) -> ModuleType | None:
    if importlib.util.find_spec(name) is None:
        return None
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  built for another GPU or PyTorch, they raise anything
        log.warning("%s is installed but does not load, so it is not used: %s", name, error)
        return None
    if name == "nerfacc" and _version(module) < LEAST_NERFACC:
        log.warning("nerfacc %s is older than 0.5, so it is not used", getattr(module, "__version__", "?"))
        return None
    return module


def _version(module: ModuleType) -> tuple[int, ...]:
    parts = str(getattr(module, "__version__", "0")).split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
