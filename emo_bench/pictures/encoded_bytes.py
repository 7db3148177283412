"""Facts about picture files that Pillow does not report: whether a PNG is complete, whether colours are exact."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PNG_SIGNATURE_BYTES = 8
CHANNELS_OF_PNG_COLOUR = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row and the steps of the seven passes of an interlaced PNG.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
BLOCK_BYTES = 1 << 20


def png_lacks_rows(content: bytes) -> bool:
    """Return whether a PNG's compressed data end before its last row; decoders fill the missing rows with black.

    Args:
        content: the bytes of a PNG whose chunks are complete.
    """
    left = _unpacked_bytes(content[16:29])
    unpacker = zlib.decompressobj()
    for data in _png_data(content):
        while data and left > 0 and not unpacker.eof:
            left -= len(unpacker.decompress(data, min(left, BLOCK_BYTES)))
            data = unpacker.unconsumed_tail
    return left > 0


def is_lossy(content: bytes) -> bool:
    """Return whether the file is a JPEG or a lossy WebP: its colours only approximate those that were saved."""
    if content.startswith(b"\xff\xd8\xff"):
        return True
    if content[:4] != b"RIFF":
        return False
    at = 12
    while at < len(content) - 8:
        if content[at : at + 4] == b"VP8 ":
            return True
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return False


def _unpacked_bytes(header: bytes) -> int:
    """Return the size of all rows, each with its filter byte; ``header`` is the content of IHDR."""
    width, height = (int.from_bytes(header[k : k + 4], "big") for k in (0, 4))
    bits = header[8] * CHANNELS_OF_PNG_COLOUR[header[9]]
    total = 0
    for left, top, across, down in PASSES if header[12] else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _png_data(content: bytes) -> Iterator[bytes]:
    """Yield the parts of the compressed data."""
    at = PNG_SIGNATURE_BYTES
    while at < len(content) - 8:
        size = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            yield content[at + 8 : at + 8 + size]
        at += 12 + size
