"""Training of StyleAvatar: losses, steps, moving average, and the state between two steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.style_avatar.avatar import DrivingBatch, StyleAvatarModel, Textures
from baselines.style_avatar.config import StyleAvatarConfig
from baselines.style_avatar.driving import DrivingSignals, moved, window_shifts, windowed
from baselines.style_avatar.wavelet import haar
from emo_avatar.stylegan2.config import DiscriminatorConfig
from emo_avatar.stylegan2.discriminator import Discriminator
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.frames import TrainingFrames
from emo_bench.methods.training.learning_rate import cosine_share, set_rates
from emo_bench.methods.training.loop import Resumable
from emo_bench.methods.training.weight_average import WeightAverage, half_life_decay
from emo_bench.system.devices import mixed_precision

Perceptual = Callable[[Tensor, Tensor], Tensor]
# Channels: wavelets of a picture and of the rendering beside it.
SEEN_BANDS = 24


class StyleAvatarFit(Resumable):
    """Trains an avatar against a wavelet discriminator, step by step.

    The random numbers of a step depend only on the seed and the step's number. A fit that was killed and continues from
    a checkpoint therefore ends with the same weights as a fit without interruption (on a GPU except for the order of
    sums).

    Args:
        model: the model to train, on its device.
        frames, masks, signals: the training data; ``masks [N, 1, F, F]`` float32, the person's share of a pixel.
        config: loss weights, learning rates, numbers of steps.
        perceptual: distance of two batches in [-1, 1], ``[B]``; None if that loss is not used.
        seed: the run's seed.
        device: the device of the model.
    """

    def __init__(
        self,
        model: StyleAvatarModel,
        frames: TrainingFrames,
        masks: Tensor,
        signals: DrivingSignals,
        config: StyleAvatarConfig,
        perceptual: Perceptual | None,
        seed: int,
        device: str,
    ) -> None:
        self.model = model
        self._frames, self._masks, self._signals, self._config = frames, masks, signals, config
        self._perceptual, self._seed, self._device = perceptual, seed, device
        shape = DiscriminatorConfig(
            config.wavelet_px,
            img_channels=SEEN_BANDS,
            channel_base=config.discriminator_base,
            channel_max=config.discriminator_max,
            mbstd_group_size=None,
        )
        self._discriminator = Discriminator(shape).to(device)
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(config.momentum, 0.99))
        self._d_optimizer = torch.optim.AdamW(self._discriminator.parameters(), lr=config.lr, betas=(0.0, 0.99))
        self._average = WeightAverage(model.named_parameters())
        self.parts = {
            "model": model,
            "discriminator": self._discriminator,
            "optimizer": self._optimizer,
            "discriminator_optimizer": self._d_optimizer,
            "average": self._average,
        }
        self._frozen: Textures | None = None

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; return its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config, side = self._config, self._config.feature_px
        rng = np.random.default_rng((self._seed, self.step))
        rows = rng.integers(len(self._frames), size=config.batch)
        shifts = window_shifts(rng, config.batch, self.step, config)
        whole = self._frames.images(rows, self._device)
        target = windowed(whole, shifts, side, "replicate")
        inside = windowed(torch.ones_like(whole[:, :1]), shifts, side, "constant")
        person = windowed(self._masks[torch.from_numpy(rows)].to(self._device), shifts, side, "constant")
        known = windowed(torch.ones_like(person), shifts, side, "constant")
        batch = moved(self._signals.batch(self._frames.indices[rows], self._device), shifts, side)
        with self._precision():
            image, opacity = self.model(batch, self._textures())
            # Outside the frame there is no data, so no loss is computed there.
            image = torch.lerp(target, image, inside)
            losses = self._losses(image, target, inside, batch)
            losses["mask"] = ((opacity - person).abs() * known).sum() / known.sum()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        require_finite(values, "style-avatar: training", self.step, "try --set lr=... or --set bf16=false")
        self._set_rates()
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack([self._weight(name) * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self._optimizer.step()
        values["discriminator"] = self._discriminator_step(image.detach(), target, batch)
        self._average.update(half_life_decay(self.step, config.batch, config.ema_half_life_images))
        self.step += 1
        return values

    def _textures(self) -> Textures:
        if self.step < self._config.freeze_step:
            return self.model.textures()
        if self._frozen is None:
            with torch.no_grad():
                self._frozen = self.model.textures()
        return self._frozen

    def _losses(self, image: Tensor, target: Tensor, inside: Tensor, batch: DrivingBatch) -> dict[str, Tensor]:
        config = self._config
        losses = {"l1": (image - target).abs().sum() / (3 * inside.sum())}
        if self._perceptual is not None:
            released = config.perceptual_gradient == "released"
            with torch.no_grad() if released else nullcontext():
                looked = slice(config.perceptual_images)
                losses["perceptual"] = self._perceptual(image[looked], target[looked]).mean()
        if config.gan_weight > 0:
            self._discriminator.requires_grad_(False)
            losses["adversarial"] = F.softplus(-self._discriminator(_seen(image, batch))).mean()
        return losses

    def _weight(self, name: str) -> float:
        config = self._config
        weights = {
            "l1": config.l1_weight,
            "perceptual": config.perceptual_weight,
            "adversarial": config.gan_weight,
            "mask": config.mask_weight,
        }
        return weights[name]

    def _discriminator_step(self, image: Tensor, target: Tensor, batch: DrivingBatch) -> float:
        config = self._config
        if config.gan_weight == 0:
            return 0.0
        self._discriminator.requires_grad_(True)
        with self._precision():
            real = self._discriminator(_seen(target, batch))
            fake = self._discriminator(_seen(image, batch))
            loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        value = float(loss.detach())
        if config.r1_weight > 0 and self.step % config.r1_every == 0:
            loss = loss + 0.5 * config.r1_weight * config.r1_every * self._r1(target, batch)
        self._d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._d_optimizer.step()
        return value

    def _r1(self, target: Tensor, batch: DrivingBatch) -> Tensor:
        real = target.detach().requires_grad_(True)
        logits = self._discriminator(_seen(real, batch))
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean()

    def _precision(self) -> torch.autocast:
        return mixed_precision(self._device, self._config.bf16)

    def _set_rates(self) -> None:
        config = self._config
        for optimizer in (self._optimizer, self._d_optimizer):
            set_rates(optimizer, config.lr, cosine_share(self.step, config.steps, config.final_lr_share))

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a saved state."""
        super().restore(state)
        self._frozen = None

    def averaged(self) -> dict[str, Tensor]:
        """Return the model's state with averaged weights."""
        return self._average.merged(self.model.state_dict())


def _seen(image: Tensor, batch: DrivingBatch) -> Tensor:
    """Return wavelets ``[B, 24, R / 2, R / 2]`` of pictures and of the rendering, enlarged to their size."""
    rendering = batch.rendering
    if rendering.shape != image.shape:
        rendering = F.interpolate(rendering, image.shape[-1], mode="bilinear", align_corners=False)
    return haar(torch.cat((image, rendering), dim=1))
