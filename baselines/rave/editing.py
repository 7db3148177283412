"""The edit of a clip: RAVE's algorithm (Kara et al. 2024, section 3)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.controlnet import control_by
from baselines.diffusion.ddim import denoised, noise_levels, steps_down
from baselines.diffusion.guided_network import GuidedNetwork, Seen, seen_of
from baselines.diffusion.inversion import LevelFiles, invert
from baselines.diffusion.networks import Control, batches
from baselines.rave.config import RaveConfig
from baselines.rave.grids import ordered_places, put_together, shuffled_places, taken_apart
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.progress import track_progress

INVERSION, STATE = "inversion", "edited.pt"


def edited_latents(
    predict: GuidedNetwork, frames_u8: NDArray[np.uint8], config: RaveConfig, seed: int, folder: Path
) -> Tensor:
    """Return the latents of the edited clip.

    If a process was killed, inversion and edit go on from the files in ``folder``, and end with the same latents.

    Args:
        predict: the network with the guidance of the edit.
        frames_u8: the recorded frames, ``uint8 [N, S, S, 3]``.
        config: the configuration.
        seed: it shuffles the frames.
        folder: gets the inverted latents of each level and the state of the edit.

    Returns:
        float32 ``[N, c, h, w]``.
    """
    networks, side = predict.networks, config.grid_side
    clip = networks.encoded(frames_u8, config.batch * side**2)
    seen = seen_of(predict.guidance, frames_u8, clip)
    inverted = _inverted(predict, clip, seen, config, folder)
    steps = steps_down(noise_levels(networks.scheduler, config.steps))
    state = load_state(folder / STATE) or {"step": 0, "latents": inverted.read(len(steps))}
    done, latents = state["step"], state["latents"].to(networks.device)
    grids = -(-len(clip) // side**2)
    with track_progress((len(steps) - done) * grids, "rave: edit") as advance:
        for step, (high, low) in list(enumerate(steps))[done:]:
            places = shuffled_places(len(clip), side, seed, step) if config.shuffle else ordered_places(len(clip), side)
            made = []
            for rows in batches(grids, config.batch):
                shown = places[rows.start * side**2 : rows.stop * side**2]
                arrange = partial(put_together, places=shown, side=side)
                made.append(predict(arrange(latents), high.timestep, seen.rearranged(arrange)))
                advance(len(made[-1]))
            prediction = taken_apart(torch.cat(made), places, side, len(clip))
            latents = denoised(latents, prediction, high, low, networks.prediction)
            save_state(folder / STATE, {"step": step + 1, "latents": latents.cpu()})
    return latents


def _inverted(predict: GuidedNetwork, clip: Tensor, seen: Seen, config: RaveConfig, folder: Path) -> LevelFiles:
    """Return the files with the clip's latents at each level; those that are missing are made."""
    networks, guidance = predict.networks, predict.guidance
    levels, files = noise_levels(networks.scheduler, config.steps), LevelFiles(folder / INVERSION)

    def control(rows: slice) -> Control | None:
        if seen.hints is None:
            return None
        return control_by(guidance.control, seen.hints[rows], guidance.control_scale)

    with track_progress((len(levels) - 1) * len(clip), "rave: inversion") as advance:
        invert(
            networks,
            clip,
            levels,
            networks.embedded(config.inversion_text),
            files,
            substeps=config.inversion_substeps,
            batch=config.batch * config.grid_side**2,
            control=control,
            advance=advance,
        )
    return files
