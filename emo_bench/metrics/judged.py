"""The CLIP metrics by the judge, a second CLIP that trained no edit; see :mod:`emo_bench.clip.judge`."""

from __future__ import annotations

import dataclasses

from emo_bench.clip.captions import require_readable
from emo_bench.clip.judge import find_judge, missing_judge
from emo_bench.clip.model import ClipSource
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Settings
from emo_bench.metrics.clip import ClipDirection, ClipDirectionOverTime, ClipMetric
from emo_bench.metrics.metric import MetricInfo

JUDGED = "-judge"
"""What the id of a judged metric has after that of the same metric by the usual CLIP."""


def _judged(info: MetricInfo) -> MetricInfo:
    return dataclasses.replace(info, id=f"{info.id}{JUDGED}", title=f"{info.title}, by the judge")


class _Judged(ClipMetric):
    """A CLIP metric whose model is the judge."""

    @classmethod
    def missing_model(cls, clip: str) -> str | None:
        return missing_judge(clip)

    @classmethod
    def find_model(cls, clip: str) -> ClipSource:
        return find_judge(clip)

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        lacking = super().missing_for(settings)
        if lacking is not None or settings.captions is None:
            return lacking
        # The user does not choose the judge, so a caption that only the judge cannot read stops no run.
        try:
            for name in cls.info.captions:
                require_readable(cls.find_model(settings.clip), getattr(settings.captions, name))
        except UserError as error:
            return str(error)
        return None


class JudgedDirection(_Judged, ClipDirection):
    """CLIP-D by the judge."""

    info = _judged(ClipDirection.info)


class JudgedDirectionOverTime(_Judged, ClipDirectionOverTime):
    """CLIP-D^v by the judge."""

    info = _judged(ClipDirectionOverTime.info)
