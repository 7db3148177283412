"""The seed of every random number: what numpy, torch and the standard library all take."""

from __future__ import annotations

from emo_bench.errors import UserError

GREATEST = 2**32 - 1


def parse_seed(text: str) -> int:
    """A seed from a command's word, for argparse; ValueError for anything else than 0 to :data:`GREATEST`."""
    return _checked(int(text))


def require_seed(seed: int) -> int:
    """The seed, if it is one.

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
