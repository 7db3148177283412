"""Training of INSTA: losses, steps, moving average, and the state between two steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from baselines.insta.config import InstaConfig
from baselines.insta.rays import RayBatch, TrainingRays
from baselines.insta.renderer import InstaAvatar
from baselines.insta.volume import RayColours
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates
from emo_bench.methods.training.loop import Resumable
from emo_bench.methods.training.weight_average import WeightAverage, warmed_decay

# At this interval of steps all samples are shaded, so that the occupancy grid finds content in cells marked as empty.
OBSERVE_EVERY = 8


class InstaFit(Resumable):
    """Trains an avatar step by step.

    The random numbers of a step depend only on the seed and the step's number. A fit that was killed and continues from
    a checkpoint therefore ends with the same weights as a fit without interruption (on a GPU except for the order of
    sums).

    Args:
        avatar: the avatar to train, on its device.
        rays: the training rays.
        expression: expression coefficients of the capture, ``[T, 52]``.
        config: loss weights, learning rates, numbers of steps.
        seed: the run's seed.
    """

    def __init__(
        self, avatar: InstaAvatar, rays: TrainingRays, expression: np.ndarray, config: InstaConfig, seed: int
    ) -> None:
        self.avatar = avatar
        self._rays, self._config, self._seed = rays, config, seed
        self._expression = torch.from_numpy(np.asarray(expression, np.float32))
        self._device = avatar.plate.device
        self._optimizer = torch.optim.Adam(avatar.parameters(), lr=config.lr, betas=(0.9, 0.99), eps=1e-15, fused=True)
        self._average = WeightAverage(avatar.named_parameters())
        self.parts = {"avatar": avatar, "optimizer": self._optimizer, "average": self._average}

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; return its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config, avatar = self._config, self.avatar
        rng = np.random.default_rng((self._seed, self.step))
        batches = self._rays.draw(rng, config.frames_a_step, config.rays)
        expression = self._expression[[batch.index for batch in batches]].to(self._device)
        observe = self.step % OBSERVE_EVERY == 0
        skip = self.step >= config.occupancy_start and not observe
        samples = avatar.sample([batch.rays for batch in batches], rng)
        losses = self._losses(avatar.shade(samples, expression, skip, observe), batches, rng)
        total = losses["colour"] + config.depth_weight * losses["depth"] + config.mask_weight * losses["mask"]
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        require_finite(values, "insta: training", self.step, "try --set lr=...")
        set_rates(self._optimizer, config.lr, cosine_share(self.step, config.steps, config.final_lr_share))
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._optimizer.step()
        self._average.update(warmed_decay(self.step, config.ema_decay))
        self.step += 1
        return values

    def _losses(self, seen: RayColours, batches: list[RayBatch], rng: np.random.Generator) -> dict[str, Tensor]:
        config, device = self._config, self._device
        rgb, inside, prior, mouth, weight = (
            torch.from_numpy(np.concatenate(parts)).to(device)
            for parts in (
                [batch.rgb for batch in batches],
                [batch.inside for batch in batches],
                [batch.rays.prior for batch in batches],
                [batch.rays.mouth for batch in batches],
                [batch.weight for batch in batches],
            )
        )
        if config.background == "plate":
            pixels = torch.from_numpy(np.concatenate([batch.rays.pixels for batch in batches])).long().to(device)
            behind, target = self.avatar.plate[pixels], rgb
            mask = (weight * (seen.opacity - inside.float()).abs()).mean()
        else:
            behind = torch.from_numpy(rng.random(rgb.shape, dtype=np.float32)).to(device)
            target = torch.where(inside[:, None], rgb, behind)
            mask = rgb.new_zeros(())
        delta = config.huber_delta
        huber = nn.functional.huber_loss(seen.over(behind), target, delta=delta, reduction="none") / delta
        colour = (torch.where(mouth, config.mouth_weight * weight, weight)[:, None] * huber).mean()
        known = weight * (prior > 0)
        depth = ((seen.depth - prior).abs() * known).sum() / known.sum().clamp_min(1e-6)
        return {"colour": colour, "depth": depth / self.avatar.field.side, "mask": mask}

    def averaged(self) -> dict[str, Tensor]:
        """Return the avatar's state with averaged weights."""
        return self._average.merged(self.avatar.state_dict())
