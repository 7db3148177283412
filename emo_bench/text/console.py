"""Terminal streams: a character that the terminal's encoding lacks must not end a command with an error."""

import io
import sys


def show_any_text() -> None:
    """Make ``print`` write a character that the stream's encoding lacks as ``\\u2191`` instead of raising.

    This changes the process's stdout and stderr; streams that do not encode text to bytes are not changed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
