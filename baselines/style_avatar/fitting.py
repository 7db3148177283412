"""Training of StyleAvatar: losses, steps, moving average; its state between any two steps."""

from __future__ import annotations

import math
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
from emo_bench.errors import UserError
from emo_bench.methods.training.frames import TrainingFrames
from emo_bench.system.devices import mixed_precision

Perceptual = Callable[[Tensor, Tensor], Tensor]
# Wavelets of a picture and of the rendering beside it.
SEEN_BANDS = 24


class StyleAvatarFit:
    """Trains an avatar against a wavelet discriminator, step by step.

    A step draws from the seed and its number alone, so that a fit which was killed and went on from a checkpoint
    ends with the weights of an undisturbed one (on a GPU up to the order of its sums).

    Args:
        model: what is trained, on its device.
        frames, masks, signals: what it is trained on; ``masks [N, 1, F, F]`` float32, the person's share of a pixel.
        config: weights, rates, steps.
        perceptual: distance of two batches in [-1, 1], ``[B]``; None without that loss.
        seed: of the run.
        device: of the model.
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
        self.model, self.step = model, 0
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
        self._average = [p.detach().clone() for p in model.parameters()]
        self._frozen: Textures | None = None

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; nothing was updated by this step.
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
            # Beyond the frame nothing is known: there nothing is asked.
            image = torch.lerp(target, image, inside)
            losses = self._losses(image, target, inside, batch)
            losses["mask"] = ((opacity - person).abs() * known).sum() / known.sum()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        self._refuse_non_finite(values)
        self._set_rates()
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack([self._weight(name) * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self._optimizer.step()
        values["discriminator"] = self._discriminator_step(image.detach(), target, batch)
        self._update_average()
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
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / config.steps)
        share = config.final_lr_share + (1.0 - config.final_lr_share) * cosine
        for optimizer in (self._optimizer, self._d_optimizer):
            optimizer.param_groups[0]["lr"] = config.lr * share

    @torch.no_grad()
    def _update_average(self) -> None:
        seen = (self.step + 1) * self._config.batch
        half_life = min(self._config.ema_half_life_images, 0.1 * seen)
        decay = 0.5 ** (self._config.batch / half_life)
        torch._foreach_lerp_(self._average, list(self.model.parameters()), 1.0 - decay)

    def _refuse_non_finite(self, values: dict[str, float]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"style-avatar: training stopped at step {self.step}: {', '.join(bad)} is not finite; "
                "try --set lr=... or --set bf16=false"
            )

    def averaged(self) -> dict[str, Tensor]:
        """The model's state with averaged weights."""
        names = [name for name, _ in self.model.named_parameters()]
        return {**self.model.state_dict(), **dict(zip(names, self._average, strict=True))}

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "discriminator": self._discriminator.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "discriminator_optimizer": self._d_optimizer.state_dict(),
            "average": self._average,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        self._discriminator.load_state_dict(state["discriminator"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._d_optimizer.load_state_dict(state["discriminator_optimizer"])
        self._average = [tensor.to(self._device).clone() for tensor in state["average"]]
        self._frozen = None


def _seen(image: Tensor, batch: DrivingBatch) -> Tensor:
    """Wavelets ``[B, 24, R / 2, R / 2]`` of pictures beside the rendering, enlarged to them."""
    rendering = batch.rendering
    if rendering.shape != image.shape:
        rendering = F.interpolate(rendering, image.shape[-1], mode="bilinear", align_corners=False)
    return haar(torch.cat((image, rendering), dim=1))
