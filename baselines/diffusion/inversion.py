"""DDIM inversion of a clip: the noisy latents from which the sampling returns to the clip, at every level, on disk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from baselines.diffusion.ddim import Level, levels_between, noised
from baselines.diffusion.networks import Control, Networks, batches
from emo_bench.methods.training.state_file import load_state, save_state


class LevelFiles:
    """The latents of a clip at each level, a file each; level 0 is the clip itself. Latents are float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, number: int, latents: Tensor) -> None:
        """Write the latents ``[N, c, h, w]`` of a level; a kill leaves no half-written file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_state(self._path(number), {"latents": latents.cpu()})

    def read(self, number: int) -> Tensor | None:
        """Return the latents of a level, on the CPU; None if the file is missing or damaged."""
        state = load_state(self._path(number))
        return None if state is None else state["latents"]

    def _path(self, number: int) -> Path:
        return self.folder / f"level-{number:04d}.pt"


def invert(
    networks: Networks,
    clip: Tensor,
    levels: list[Level],
    text: Tensor,
    files: LevelFiles,
    *,
    substeps: int,
    batch: int,
    pictures: Tensor | None = None,
    control: Callable[[slice], Control | None] = lambda rows: None,
    advance: Callable[[int], object] = lambda frames: None,
) -> None:
    """Write the latents of every level into ``files``; levels that are there are not made again.

    The prediction of a step is the network's at the noisier level, for the latents of the cleaner one: both are close
    if the steps are many.

    Args:
        networks: the networks.
        clip: the latents of the frames, float32 ``[N, c, h, w]``.
        levels: from the clean level to the noisiest one.
        text: what the frames show, ``[1, L, C]``.
        files: gets one file for each level.
        substeps: number of steps between two levels.
        batch: number of frames that the network gets at once.
        pictures: the source pictures that the network sees, as ``clip``; None: it sees none.
        control: gives the ControlNet for some of the frames, or None where there is none.
        advance: called with the number of frames that went from one level to the next.
    """
    kind = networks.prediction
    latents = files.read(0)
    if latents is None:
        files.write(0, clip)
        latents = clip
    for number, (low, high) in enumerate(pairwise(levels), start=1):
        kept = files.read(number)
        if kept is None:
            latents = latents.to(networks.device)
            for lower, upper in pairwise(levels_between(networks.scheduler, low, high, substeps)):
                made = []
                for rows in batches(len(latents), batch):
                    seen = None if pictures is None else pictures[rows]
                    prediction = networks.predicted(latents[rows], upper.timestep, text, seen, control(rows))
                    made.append(noised(latents[rows], prediction, upper, lower, kind))
                latents = torch.cat(made)
            files.write(number, latents)
        else:
            latents = kept
        advance(len(latents))
