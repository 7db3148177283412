"""Limits for reading a file: memory in proportion to its size, and a number of operations."""

from __future__ import annotations

from emo_bench.untrusted.refusal import Unreadable

# A prior of the largest published StyleGAN2 needs about 60,000 operations; two million take a few seconds.
MOST_OPERATIONS = 2_000_000
SLACK_BYTES = 64 << 20
BYTES_A_FILE_BYTE = 4


class Budget:
    """The remaining budget of one file, including nested files.

    Args:
        file_bytes: size of the file.
    """

    def __init__(self, file_bytes: int) -> None:
        self._bytes = SLACK_BYTES + BYTES_A_FILE_BYTE * file_bytes
        self._operations = MOST_OPERATIONS

    def take_bytes(self, count: int) -> None:
        """Raise Unreadable if ``count`` more bytes are too many for the size of the file."""
        self._bytes -= count
        if self._bytes < 0:
            raise Unreadable("it asks for more memory than a file of its size may hold")

    def take_operation(self) -> None:
        """Raise Unreadable after too many operations."""
        self._operations -= 1
        if self._operations < 0:
            raise Unreadable(f"it has more than {MOST_OPERATIONS:,} operations")
