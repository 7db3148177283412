"""OpenCV, loaded at its first use: ``from emo_bench.system import opencv as cv2``.

OpenCV loads desktop libraries. If they are missing, only the functions that need OpenCV fail, with one line.
"""

from __future__ import annotations

from typing import Any

from emo_bench.errors import UserError
from emo_bench.system.libraries import missing_library


def missing() -> str | None:
    """Return in one line why OpenCV cannot be loaded here and what to do about it; None if it can."""
    try:
        _load()
    except UserError as error:
        return str(error)
    return None


def __getattr__(name: str) -> Any:
    """Return an attribute of OpenCV.

    Raises:
        UserError: OpenCV cannot be loaded.
    """
    # Python looks these names up in every module, without any use of OpenCV.
    if name.startswith("__") and name != "__version__":
        raise AttributeError(name)
    value = getattr(_load(), name)
    globals()[name] = value
    return value


def _load() -> Any:
    try:
        import cv2
    except ImportError as error:
        lacking = missing_library(error)
        if lacking is None:
            lacking = (
                f"OpenCV cannot be loaded ({' '.join(str(error).split())}); run: pip install opencv-contrib-python"
            )
        raise UserError(lacking) from error
    return cv2
