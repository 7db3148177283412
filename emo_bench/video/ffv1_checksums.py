"""FFV1 checksums: for a damaged frame the decoder shows the previous one and reports no error, so we check them.

A slice ends (RFC 9043, section 4.9) with three bytes of size, one byte of status and four bytes of CRC-32.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

FOOTER_BYTES = 8
# zlib processes the bits of a byte in the opposite order.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# CRC states before a slice; a slice including its checksum ends in the same state. The first is FFV1's first one, the
# second that of later micro versions.
STATES = (0, 0x7A8C4079)


def is_intact(packet: bytes) -> bool:
    """Return whether all slices of a frame's packet have the right checksum; False for a file without checksums."""
    return any(_all_right(packet, _as_zlib(state)) for state in STATES)


def _all_right(packet: bytes, state: int) -> bool:
    slices = list(_slices(packet))
    return bool(slices) and all(zlib.crc32(part, state) == state for part in slices)


def _slices(packet: bytes) -> Iterator[bytes]:
    """Yield slices from the last to the first, with their footers and reversed bits; invalid data are yielded too."""
    end = len(packet)
    while end > 0:
        size = int.from_bytes(packet[max(end - FOOTER_BYTES, 0) : end][:3], "big")
        start = max(end - FOOTER_BYTES - size, 0)
        yield packet[start:end].translate(REVERSED)
        end = start


def _as_zlib(state: int) -> int:
    return int(f"{state:032b}"[::-1], 2) ^ 0xFFFFFFFF
