"""Standard streams: a character that the terminal lacks, and a closed stream, must not end a command with an error."""

import io
import os
import sys


def open_closed_streams() -> None:
    """Connect stdin, stdout and stderr to /dev/null if they are closed, as after ``>&-`` or in a daemon.

    Otherwise ``sys.stdout`` is None, and the next file that is opened gets the number of the stream, so that what a
    library prints is written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


def show_any_text() -> None:
    """Make ``print`` write a character that the stream's encoding lacks as ``\\u2191`` instead of raising.

    This changes the process's stdout and stderr; streams that do not encode text to bytes are not changed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
