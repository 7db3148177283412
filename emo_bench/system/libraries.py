"""System libraries that Python packages load: which of them a server without a screen lacks, and their installation."""

from __future__ import annotations

import re

# OpenCV and MediaPipe load these even if no window is opened; one command installs all of them.
PACKAGES = ("libgl1", "libegl1", "libgles2", "libglib2.0-0")
_THEIRS = re.compile(r"lib(GL|EGL|GLESv2|OpenGL|GLX|GLdispatch|glib-2\.0|gthread-2\.0|xcb|X11|Xau|Xdmcp)\.so")
# Messages of the loaders of Linux and macOS.
_MISSING = (
    re.compile(r"(?P<name>[\w.+-]+\.so[\w.]*): cannot open shared object file"),
    re.compile(r"Library not loaded: (?:\S*/)?(?P<name>[\w.+-]+\.dylib)"),
)
_CHAIN = 5


def missing_library(error: BaseException | None) -> str | None:
    """Return in one line the library that an import lacked, with the command that installs it; None for other errors.

    Errors that caused this error are examined too.
    """
    for _ in range(_CHAIN):
        if isinstance(error, (ImportError, OSError, RuntimeError)):
            found = next(filter(None, (pattern.search(str(error)) for pattern in _MISSING)), None)
            if found:
                return _remedy(found["name"])
        if error is None:
            break
        error = error.__cause__ or error.__context__
    return None


def _remedy(name: str) -> str:
    if _THEIRS.match(name):
        return (
            f"{name} is missing on this machine; OpenCV and MediaPipe need it; "
            f"run as root: apt-get install {' '.join(PACKAGES)}"
        )
    return f"{name} is missing on this machine; install the system package that holds it"
