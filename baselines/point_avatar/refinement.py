"""Refinement of the track of training frames during a fit: what is added to expression, pose and camera.

The public configuration calls the refinement of pose and camera important for alignment and numbers. A held-out frame
is never refined. Therefore the mean of the additions over the training frames stays zero: otherwise avatar and
training track could move away together from the track that drives the held-out frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.point_avatar.networks import UNIT_M
from baselines.point_avatar.rig_surface import FrameDrive, drive_by
from emo_bench.actors.track import POSES, Track
from emo_bench.tracking.head_rig import EXPRESSIONS, HeadRig

WIDTHS = (len(EXPRESSIONS), 3, 3, 3, 3)
FLAG = (
    "the fit refined the track of its training frames (expression, pose and camera); held-out frames are rendered from "
    "the track as it is"
)


@dataclass(frozen=True)
class Refined:
    """The mean sizes of the additions: ``head_deg`` and ``body_mm``, and ``expression`` of the coefficients."""

    frames: int
    expression: float
    body_deg: float
    body_mm: float
    neck_deg: float
    head_deg: float


class TrackRefinement(nn.Module):
    """What is added to the tracked signals of N training frames, zero at first.

    The camera does not turn or zoom, so its part is the translation of the body.

    Args:
        frames: the training frames, in the order of the rows.
        device: the device of the tensors.
    """

    def __init__(self, frames: Sequence[int], device: str) -> None:
        super().__init__()
        self.frames: Tensor
        self.register_buffer("frames", torch.tensor([int(i) for i in frames], device=device))
        # An optimiser step costs what the frames of its batch cost, because only their rows have a gradient.
        self.additions = nn.Embedding(len(frames), sum(WIDTHS), sparse=True, device=device)
        nn.init.zeros_(self.additions.weight)

    def drive(self, rig: HeadRig, track: Track, row: int) -> FrameDrive:
        """Return the refined signals of the frame at a row; the gradient reaches expression and poses."""
        index, device = int(self.frames[row]), self.frames.device
        added = split(self.additions(torch.tensor([row], device=device)))
        tracked = [torch.from_numpy(getattr(track, name)[index : index + 1]) for name in ("expression", *POSES)]
        expression, *poses = (signal.to(device) + change for signal, change in zip(tracked, added, strict=True))
        shift = np.asarray(track.torso_shift[index], np.float32)
        return drive_by(rig, track.head, expression, poses, shift, str(device))

    @torch.no_grad()
    def centre(self) -> None:
        """Subtract the mean over the frames."""
        self.additions.weight -= self.additions.weight.mean(dim=0)

    def optimizer(self, lr: float) -> torch.optim.SparseAdam:
        """Return the published optimiser."""
        return torch.optim.SparseAdam([self.additions.weight], lr=lr)


def split(additions: Tensor) -> tuple[Tensor, ...]:
    """Split rows ``[N, 64]`` into expression ``[N, 52]`` and the four ``[N, 3]`` of ``POSES``: radians and metres."""
    expression, body, place, neck, head = additions.split(WIDTHS, dim=1)
    return expression, body, UNIT_M * place, neck, head


def sizes(additions: Tensor) -> Refined:
    """Return the mean sizes of rows ``[N, 64]``."""
    expression, body, place, neck, head = split(additions.detach().double().cpu())
    turns = (float(part.norm(dim=1).rad2deg().mean()) for part in (body, neck, head))
    body_deg, neck_deg, head_deg = (round(turn, 4) for turn in turns)
    moved_mm = round(1000.0 * float(place.norm(dim=1).mean()), 4)
    return Refined(len(additions), round(float(expression.abs().mean()), 6), body_deg, moved_mm, neck_deg, head_deg)
