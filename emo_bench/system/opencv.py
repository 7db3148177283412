"""OpenCV, loaded when it is first used: ``from emo_bench import opencv as cv2``.

It loads libraries of a desktop; where they are missing, what needs OpenCV says so in one line and the rest works.
"""

from __future__ import annotations

from typing import Any

from emo_bench.errors import UserError
from emo_bench.system.libraries import missing_library


def missing() -> str | None:
    """Why OpenCV cannot be loaded here and what to do about it, in one line; None when it can."""
    try:
        _load()
    except UserError as error:
        return str(error)
    return None


def __getattr__(name: str) -> Any:
    """OpenCV's own names.

    Raises:
        UserError: it cannot be loaded.
    """
    # Python looks these names up in every module; that does not use OpenCV.
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
