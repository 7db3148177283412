"""Random seeds: the range that numpy, torch and the standard library all accept."""

from __future__ import annotations

from emo_bench.errors import UserError

GREATEST = 2**32 - 1


def parse_seed(text: str) -> int:
    """Parse a seed from the command line, for argparse; ValueError unless it is 0 to :data:`GREATEST`."""
    return _checked(int(text))


def require_seed(seed: int) -> int:
    """Return the seed if it is valid.

    Raises:
        UserError: it is below 0 or above :data:`GREATEST`.
    """
    try:
        return _checked(seed)
    except ValueError as error:
        raise UserError(str(error)) from error


def _checked(seed: int) -> int:
    if not 0 <= seed <= GREATEST:
        shown = str(seed) if abs(seed) < 10**20 else "it"
        raise ValueError(f"--seed: {shown} is not a whole number from 0 to {GREATEST}")
    return seed
