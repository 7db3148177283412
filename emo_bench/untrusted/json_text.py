"""JSON in the metadata of a file; whole files are read by ``emo_bench.untrusted.plain_json``."""

from __future__ import annotations

import json
from typing import Any

from emo_bench.untrusted.refusal import Unreadable

MOST_CHARACTERS = 1 << 20


def parse_json(text: str, what: str) -> dict[str, Any]:
    """Parse the object in ``text``.

    Raises:
        Unreadable: it is not a JSON object, is too long, or is nested too deeply.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"{what} has {len(text):,} characters")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise Unreadable(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{what} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return found
