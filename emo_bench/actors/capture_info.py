"""``capture.json``: the facts about a capture that can be read without opening its other files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emo_bench.untrusted.plain_json import read_json
from emo_bench.untrusted.refusal import Unreadable, reading
from emo_bench.untrusted.schema import first_problem

MOST_BYTES = 1 << 20


class CaptureInfo(BaseModel):
    """The required facts of a capture; the file may hold others (how the capture was made)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    source: Literal["studio", "video"]
    frames: int = Field(ge=1, le=10_000_000)
    fps: float = Field(gt=0, le=1000, allow_inf_nan=False)
    size_px: int = Field(ge=1, le=16384)


def read_capture_info(path: Path) -> CaptureInfo:
    """Read and check a ``capture.json``.

    Raises:
        UserError: it is missing or damaged.
    """
    with reading(path, "capture", "; add it again"):
        try:
            return CaptureInfo.model_validate(read_json(path, MOST_BYTES))
        except ValidationError as error:
            raise Unreadable(first_problem(error)) from error
