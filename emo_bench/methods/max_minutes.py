"""The limit on the time of a fit: the setting ``max_minutes`` of every trained method, and the record of such a fit.

``emo-bench run --max-minutes 5`` and ``--set max_minutes=5`` mean the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import SettingError, UserError, shortened
from emo_bench.files import write_json
from emo_bench.untrusted.plain_json import read_json

SETTING = "max_minutes"
OPTION = "--max-minutes"
# Thirty days.
GREATEST = 43_200.0
# The record of a fit with a limit, in the run's folder.
RECORD = "time_limit.json"
LIMIT_BYTES = 2**16


@dataclass(frozen=True)
class LimitedFit:
    """What a fit with a limit on its time did.

    Attributes:
        minutes: the limit.
        seconds: the time of the fit up to its last step, over all attempts.
        steps_taken: the number of steps that it took.
        steps: the number of steps that it takes without a limit.
    """

    minutes: float
    seconds: float
    steps_taken: int
    steps: int


def minutes_of(settings: Mapping[str, str]) -> float | None:
    """Return the limit in minutes; None if there is none.

    Raises:
        SettingError: it is not a number above 0, or above :data:`GREATEST`.
    """
    text = settings.get(SETTING)
    if text is None:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= GREATEST:
        raise SettingError(
            f"{OPTION} {shortened(text, 40)}: give a number of minutes above 0, at most {GREATEST:,.0f} (30 days)"
        )
    return minutes


def plain_text(settings: Mapping[str, str]) -> str:
    """Return the limit as every way to give it writes it, so that 5 and 5.0 are one run; SettingError as above."""
    minutes = minutes_of(settings)
    assert minutes is not None
    return str(int(minutes)) if minutes.is_integer() else str(minutes)


def without_limit(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a trained method except the limit, which the training loop reads.

    Raises:
        SettingError: the limit is not a possible one.
    """
    minutes_of(settings)
    return {key: text for key, text in settings.items() if key != SETTING}


def write_record(folder: Path, record: LimitedFit) -> None:
    """Write the record of a fit, whole or not at all."""
    write_json(folder / RECORD, dataclasses.asdict(record))


def read_record(folder: Path) -> LimitedFit | None:
    """Read the record of a fit; None if the method has written none that can be read."""
    try:
        found = read_json(folder / RECORD, LIMIT_BYTES)
        return LimitedFit(
            float(found["minutes"]), float(found["seconds"]), int(found["steps_taken"]), int(found["steps"])
        )
    except (OSError, UserError, TypeError, KeyError, ValueError, OverflowError):
        return None
