"""Changes of bytes that know nothing of a format: bits, lengths, blocks, splices, numbers written as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

MOST_CHANGES = 5
BLOCK = 64
GROWN = 1 << 16
NUMBERS = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1,
    (1 << 64) - 1,
)  # fmt: skip
TEXT_NUMBERS = (b"0", b"-1", b"1e309", b"nan", b"99999999", b"4294967296", b"99999999999999999999999", b"0.5", b"")
WORDS = (
    b"\x00", b"\xff\xfe", b"\x1b[31m", b"\n", b"\r\n", b"\xe2\x80\xae", b"|O", b"O", b"null", b"{", b"[", b'"',
    b"\\u0000",
)  # fmt: skip


def changed(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """The content after one to ``MOST_CHANGES`` changes; ``others`` give the blocks of a splice."""
    for _ in range(rng.randint(1, MOST_CHANGES)):
        content = rng.choice(CHANGES)(rng, content, others)
    return content


def _place(rng: Random, content: bytes) -> int:
    """Half of the places lie at the start, where formats keep what they are."""
    return rng.randrange(min(len(content), 256) if rng.random() < 0.5 else len(content)) if content else 0


def _bit(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    made = bytearray(content)
    if made:
        made[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(made)


def _byte(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    made = bytearray(content)
    if made:
        made[_place(rng, content)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(made)


def _number(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A number of 2, 4 or 8 bytes, as a length or an offset would be."""
    width, at = rng.choice((2, 4, 8)), _place(rng, content)
    value = rng.choice((*NUMBERS, len(content), len(content) + 1)) & ((1 << 8 * width) - 1)
    return content[:at] + value.to_bytes(width, rng.choice(("little", "big"))) + content[at + width :]


def _text_number(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", content[:GROWN]))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(TEXT_NUMBERS) + content[match.end() :]


def _cut(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + rng.randint(1, BLOCK) :]


def _end(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _doubled(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, content)
    block = content[at : at + rng.randint(1, BLOCK)]
    times = rng.choice((1, 1, 2, 8, 256))
    return content[:at] + block * times + content[at:]


def _inserted(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, content)
    block = rng.choice(WORDS) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, BLOCK))
    return content[:at] + block + content[at:]


def _overwritten(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, content)
    block = rng.choice(WORDS) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, BLOCK))
    return content[:at] + block + content[at + len(block) :]


def _moved(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    a, b = _place(rng, content), _place(rng, content)
    block = content[a : a + rng.randint(1, BLOCK)]
    return content[:b] + block + content[b + len(block) :]


def _spliced(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else content
    a, b = _place(rng, content), _place(rng, other)
    return content[:a] + other[b : b + rng.choice((BLOCK, len(other)))]


CHANGES = (
    _bit, _bit, _bit, _byte, _byte, _number, _number, _text_number, _cut, _end, _doubled, _inserted, _overwritten,
    _moved, _spliced,
)  # fmt: skip
