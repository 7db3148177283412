"""Checksums of FFV1: its decoder compares them, but shows the previous frame in place of a damaged one and reports
nothing.

The end of a slice (RFC 9043, section 4.9): three bytes of size, a byte of status and four of a CRC-32.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

FOOTER_BYTES = 8
# zlib takes the bits of a byte in the opposite order.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# CRC states before a slice, which a slice with its checksum leaves unchanged: FFV1's first one, and that of later micro
# versions.
STATES = (0, 0x7A8C4079)


def is_intact(packet: bytes) -> bool:
    """Whether the checksums of all slices of a frame's packet are right; False for a file written without them."""
    return any(_all_right(packet, _as_zlib(state)) for state in STATES)


def _all_right(packet: bytes, state: int) -> bool:
    slices = list(_slices(packet))
    return bool(slices) and all(zlib.crc32(part, state) == state for part in slices)


def _slices(packet: bytes) -> Iterator[bytes]:
    """Slices from the last to the first, with their ends, bits reversed; what is no slice is given as it is."""
    end = len(packet)
    while end > 0:
        size = int.from_bytes(packet[max(end - FOOTER_BYTES, 0) : end][:3], "big")
        start = max(end - FOOTER_BYTES - size, 0)
        yield packet[start:end].translate(REVERSED)
        end = start


def _as_zlib(state: int) -> int:
    return int(f"{state:032b}"[::-1], 2) ^ 0xFFFFFFFF
