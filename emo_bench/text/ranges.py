"""Ascending numbers as ranges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def ranges(numbers: Sequence[int], between: str = ", ") -> str:
    """Write ascending numbers as text: (1, 2, 3, 7) gives "1-3, 7"."""
    breaks = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1), len(numbers)]
    parts = [(numbers[a], numbers[b - 1]) for a, b in pairwise(breaks) if a < b]
    return between.join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
