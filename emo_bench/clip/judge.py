"""The judge: a second CLIP for scores alone.

An edit is often trained with the CLIP that also scores it. A score by a CLIP that trained no edit says how much of the
first score is about that one network.
"""

from __future__ import annotations

from emo_bench.clip.model import JUDGE, MODELS, ClipSource, find_clip, missing_clip
from emo_bench.errors import UserError


def missing_judge(clip: str = "auto") -> str | None:
    """Return in one line why there is no judge on this machine, with the remedy; None if there is one.

    Args:
        clip: the CLIP model of the other scores, see :func:`find_judge`.
    """
    if _first(clip) is not None:
        return None
    same = "needs another CLIP model than that of the other scores: give those another one (--set clip=, or --clip)"
    lacking = missing_clip(JUDGE)
    if lacking is None:
        return same
    return (
        f"{lacking} (docs/metrics.md, The judge), or: emo-bench assets fetch clip-vit-b-32, with --set clip=portraits"
    )


def find_judge(clip: str = "auto") -> ClipSource:
    """Find the first of ViT-L-14, ViT-B-32 and "judge" that is on this machine and does not give the other scores.

    "judge" is the second small CLIP of this project: other people, another seed, other wordings than "portraits".

    Args:
        clip: the CLIP model of the other scores, as for :func:`emo_bench.clip.model.find_clip`.

    Raises:
        UserError: no such model is on this machine.
    """
    found = _first(clip)
    if found is None:
        raise UserError(f"the second CLIP {missing_judge(clip)}")
    return found


def _first(clip: str) -> ClipSource | None:
    taken = find_clip(clip).sha256 if missing_clip(clip) is None else None
    for name in (*MODELS, JUDGE):
        if missing_clip(name) is None:
            source = find_clip(name)
            if source.sha256 != taken:
                return source
    return None
