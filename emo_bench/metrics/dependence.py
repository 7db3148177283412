"""What the results of a backend depend on, in all their bits: results are kept for later runs under these facts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from emo_bench import __version__
from emo_bench.metrics.metric import Backend
from emo_bench.system.devices import processor


def about_backend(backend: Backend, *code: ModuleType, **others: str) -> Mapping[str, str]:
    """Describe what the results of a backend on the processor depend on, besides the frame.

    Args:
        backend: its name, the SHA-256 of its weights, and versions.
        code: the modules of ours that call it: their parameters and their rules are in the source.
        others: further facts.
    """
    return {
        "backend": backend.name,
        "sha256": backend.sha256 or "",
        "detail": backend.detail,
        # Libraries choose other instructions on other processors, and the last digits differ.
        "processor": processor(),
        "emo_bench": __version__,
        "numpy": np.__version__,
        **{module.__name__: _source_sha256(module) for module in code},
        **others,
    }


def _source_sha256(module: ModuleType) -> str:
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
