"""The streams of the terminal: what the terminal's encoding cannot show must not end a command."""

import io
import sys


def show_any_text() -> None:
    """Let ``print`` write a character that the stream's encoding lacks as ``\\u2191`` instead of raising.

    For the process's stdout and stderr; streams that are not text over bytes stay as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
