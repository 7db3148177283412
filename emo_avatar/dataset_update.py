"""The edit by iterative dataset update (Instruct-NeRF2NeRF, Haque et al. 2023): the ablation Ours + in2n of table 4.

Instead of one edited picture, the data are the recorded frames. At regular intervals one of them is replaced by an edit
of its current rendering, guided by the recorded frame. Edited and recorded frames are trained on together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.edit_config import EditConfig
from emo_avatar.edit_stage import EditFrames
from emo_avatar.render_stage import Perceptual
from emo_avatar.renderer import AvatarRenderer
from emo_avatar.skip_training import SkipTraining
from emo_bench.methods.training.frames import evenly_spaced, to_frames_u8

Update = Callable[[Tensor, int, int], Tensor]
"""Edits a rendering ``[1, 3, R, R]`` in [-1, 1] of the frame at a position, with a seed; the same shape and range."""


class DatasetUpdateStage(SkipTraining):
    """Trains the skip connections of an avatar towards frames that are edited one after the other.

    Args:
        avatar: the fitted avatar; everything except ``fusion`` is frozen here.
        frames: the frames, with what the avatar needs to render them.
        recorded: the recorded frames ``[F, 3, R, R]`` in [-1, 1]; the data at the start.
        update: makes the edits.
        config, fit_config: the configurations of the edit and of the fit.
        perceptual: distance of two batches in [-1, 1], ``[B]``.
        seed: the run's seed; the random numbers of a step depend only on it and the step's number.

    Attributes:
        data: the frames that are trained on, as ``recorded``.
        updates: how often each of them was replaced, ``[F]``.
    """

    def __init__(
        self,
        avatar: AvatarRenderer,
        frames: EditFrames,
        recorded: Tensor,
        update: Update,
        config: EditConfig,
        fit_config: EmoAvatarConfig,
        perceptual: Perceptual,
        seed: int,
    ) -> None:
        super().__init__(avatar, config, fit_config)
        self.data = recorded.clone()
        self.updates = np.zeros(len(recorded), dtype=np.int64)
        self._frames, self._update = frames, update
        self._perceptual, self._seed = perceptual, seed

    def run_step(self) -> dict[str, float]:
        """Replace a frame if it is time for it, take one optimisation step, and return its losses by name.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config, rng = self.config, np.random.default_rng((self._seed, 2, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        if self.step % config.update_every_steps == 0:
            self._replace(self.step // config.update_every_steps % len(self.data))
        count = min(1 + config.other_frames, len(self.data))
        rows = torch.from_numpy(rng.choice(len(self.data), size=count, replace=False)).to(self.data.device)
        images = self.render(self._frames.encoding.rows(rows))
        targets = self.data[rows]
        terms = {"l1": (config.l1_weight, (images - targets).abs().mean())}
        if config.perceptual_weight > 0:
            terms["perceptual"] = (config.perceptual_weight, self._perceptual(images, targets).mean())
        values = self.descend(terms)
        self.step += 1
        return values

    @torch.no_grad()
    def _replace(self, position: int) -> None:
        """Edit the current rendering of a frame; the edit is training data from now on."""
        row = torch.tensor([position], device=self.data.device)
        rendering = self.render(self._frames.encoding.rows(row)).clamp(-1.0, 1.0)
        self.data[position] = self._update(rendering, position, self._seed + self.step)[0]
        self.updates[position] += 1

    def summary(self) -> str:
        """Say how often the frames were replaced."""
        return (
            f"{int(self.updates.sum())} edits in {self.step} steps; each of the {len(self.updates)} frames was "
            f"replaced {_count(self.updates)} times"
        )

    def shown_data(self, count: int) -> list[NDArray[np.uint8]]:
        """Return evenly spaced frames as they are trained on now, at most ``count``, uint8 ``[R, R, 3]``."""
        rows = evenly_spaced(range(len(self.data)), count).tolist()
        return list(to_frames_u8(self.data[rows]))

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on: an edit of this kind may take hours."""
        return {
            "step": self.step,
            "skips": self.avatar.fusion.state_dict(),
            "optimizer": self.optimizer_state(),
            "data": self.data,
            "updates": torch.from_numpy(self.updates),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a saved state."""
        self.step = int(state["step"])
        self.avatar.fusion.load_state_dict(state["skips"])
        self.restore_optimizer(state["optimizer"])
        self.data = state["data"].to(self.data.device)
        self.updates = state["updates"].numpy()


def _count(numbers: NDArray[np.int64]) -> str:
    least, most = int(numbers.min()), int(numbers.max())
    return str(least) if least == most else f"{least} or {most}" if most == least + 1 else f"{least} to {most}"
