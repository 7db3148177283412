"""CUDA packages that baselines use if they are installed and work: tiny-cuda-nn, nerfacc and gsplat."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import cache
from types import ModuleType

log = logging.getLogger("emo_bench")

# nerfacc: from this version on, densities give a tuple of weights, transmittance and opacity. gsplat: from this version
# on, an ellipse ends where the Gaussian is fainter than one of 255 levels.
LEAST_VERSIONS = {"nerfacc": (0, 5), "gsplat": (1, 5)}


def tiny_cuda_nn() -> ModuleType | None:
    """Return the module ``tinycudann``, or None if it is not installed or does not load (which is logged)."""
    return _loaded("tinycudann")


def nerfacc() -> ModuleType | None:
    """Return the module ``nerfacc``, or None if it is not installed, is too old or does not load (which is logged)."""
    return _loaded("nerfacc")


def gsplat() -> ModuleType | None:
    """Return the module ``gsplat``, or None if it is not installed, is too old or does not load (which is logged)."""
    return _loaded("gsplat")


@cache
def _loaded(name: str) -> ModuleType | None:
    if importlib.util.find_spec(name) is None:
        return None
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  built for another GPU or PyTorch, they raise anything
        log.warning("%s is installed but does not load, so it is not used: %s", name, error)
        return None
    least = LEAST_VERSIONS.get(name, (0,))
    if _version(module) < least:
        needed = ".".join(map(str, least))
        log.warning("%s %s is older than %s, so it is not used", name, getattr(module, "__version__", "?"), needed)
        return None
    return module


def _version(module: ModuleType) -> tuple[int, ...]:
    parts = str(getattr(module, "__version__", "0")).split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
