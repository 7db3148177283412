"""The render stage: train texture, flow, encoder and skip connections on the frames (paper 3.2.3)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.driving import DrivingSignals, WeightedFrames
from emo_avatar.motion_flow import total_variation
from emo_avatar.patch_discriminator import PatchDiscriminator, discriminator_loss, generator_loss
from emo_avatar.renderer import AvatarRenderer, DrivingBatch, Rendering
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates, warm_up_share
from emo_bench.methods.training.loop import Resumable
from emo_bench.methods.training.weight_average import WeightAverage, half_life_decay
from emo_bench.system.devices import mixed_precision

Perceptual = Callable[[Tensor, Tensor], Tensor]
WARM_UP_STEPS = 30


@dataclass(frozen=True)
class RenderLosses:
    """The terms of equations 1 and 2 for one step, before weighting; scalars."""

    texture: Tensor
    l1: Tensor
    perceptual: Tensor
    mouth: Tensor
    adversarial: Tensor
    flow: Tensor

    def total(self, config: EmoAvatarConfig) -> Tensor:
        """Return the weighted sum."""
        return (
            config.texture_weight * self.texture
            + config.l1_weight * self.l1
            + config.perceptual_weight * self.perceptual
            + config.mouth_perceptual_weight * self.mouth
            + config.gan_weight * self.adversarial
            + self.flow
        )


class RenderStage(Resumable):
    """Trains an avatar step by step; the complete state can be saved and restored between any two steps.

    The frames of a step depend only on the seed and the step's number. A run that was killed and continues from a
    checkpoint therefore ends with the same weights as a run without interruption.

    Args:
        avatar: the renderer to train, on its device.
        frames, signals: the training frames and their driving signals.
        config: weights, learning rates, steps.
        perceptual: distance of two batches in [-1, 1], ``[B]``.
        seed: the run's seed.
    """

    def __init__(
        self,
        avatar: AvatarRenderer,
        frames: WeightedFrames,
        signals: DrivingSignals,
        config: EmoAvatarConfig,
        perceptual: Perceptual,
        seed: int,
    ) -> None:
        self.avatar = avatar
        self._frames, self._signals, self._config = frames, signals, config
        self._perceptual, self._seed = perceptual, seed
        self._device = str(avatar.pivots.device)
        torch.manual_seed(seed)
        self._discriminator = PatchDiscriminator(width=config.discriminator_width).to(self._device)
        self._optimizer = torch.optim.AdamW(_parameter_groups(avatar, config), betas=(0.9, 0.99))
        self._base_lr = [group["lr"] for group in self._optimizer.param_groups]
        self._d_optimizer = torch.optim.Adam(
            self._discriminator.parameters(), lr=config.discriminator_lr, betas=(0.5, 0.999)
        )
        self._average = WeightAverage(trainable(avatar))
        self.parts = {
            "avatar": avatar,
            "discriminator": self._discriminator,
            "optimizer": self._optimizer,
            "discriminator_optimizer": self._d_optimizer,
            "ema": self._average,
        }

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step and return its losses by name.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config = self._config
        rng = np.random.default_rng((self._seed, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        rows = rng.integers(len(self._frames), size=config.batch)
        target = self._frames.images(rows, self._device)
        weights = self._frames.pixel_weights(rows, self._device)
        mouths = self._frames.mouth_boxes(rows, self._device)
        batch = self._signals.batch(self._frames.indices[rows], self._device)
        self._set_learning_rate()
        with_gan = config.gan_weight > 0 and self.step >= config.gan_start_step
        with mixed_precision(self._device, config.bf16):
            rendering = self.avatar(batch)
            losses = self._losses(rendering, target, weights, mouths, batch, with_gan)
        total = losses.total(config)
        values = {name: float(getattr(losses, name).detach()) for name in losses.__dataclass_fields__}
        self._require_finite(values)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(list(trainable(self.avatar).values()), 10.0)
        self._require_finite({"gradient": float(norm)})
        self._optimizer.step()
        values["discriminator"] = self._discriminator_step(rendering.image.detach(), target, batch, with_gan)
        self._average.update(half_life_decay(self.step, config.batch, config.ema_half_life_images))
        self.step += 1
        return values

    def _losses(
        self, rendering: Rendering, target: Tensor, weights: Tensor, mouths: Tensor, batch: DrivingBatch, with_gan: bool
    ) -> RenderLosses:
        config = self._config
        zero = target.new_zeros(())
        image = rendering.image.float()
        covered = batch.mask.sum().clamp_min(1.0) * 3
        texture = ((rendering.texture_rgb.float() - target).abs() * batch.mask).sum() / covered
        l1 = ((image - target).abs() * weights).sum() / (weights.sum() * 3)
        perceptual = zero
        if config.perceptual_weight > 0:
            looked_at = max(round(config.perceptual_share * len(image)), 1)
            perceptual = self._perceptual(image[:looked_at], target[:looked_at]).mean()
        mouth = zero
        if config.mouth_perceptual_weight > 0:
            mouth = self._perceptual(*(enlarged(x, mouths, config.mouth_px) for x in (image, target))).mean()
        adversarial = zero
        if with_gan:
            self._discriminator.requires_grad_(False)
            adversarial = generator_loss(self._discriminator(image, condition(batch)), config.gan_loss)
        flow = zero
        if rendering.flow is not None:
            flow = config.flow_l1_weight * rendering.flow.abs().mean()
            flow = flow + config.flow_tv_weight * total_variation(rendering.flow)
        return RenderLosses(texture, l1, perceptual, mouth, adversarial, flow)

    def _discriminator_step(self, fake: Tensor, target: Tensor, batch: DrivingBatch, with_gan: bool) -> float:
        if not with_gan:
            return 0.0
        self._discriminator.requires_grad_(True)
        with mixed_precision(self._device, self._config.bf16):
            given = condition(batch)
            loss = discriminator_loss(
                self._discriminator(target, given), self._discriminator(fake, given), self._config.gan_loss
            )
        self._d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._d_optimizer.step()
        return float(loss.detach())

    def _set_learning_rate(self) -> None:
        config = self._config
        share = cosine_share(self.step, config.steps, config.final_lr_share)
        set_rates(self._optimizer, self._base_lr, warm_up_share(self.step, WARM_UP_STEPS) * share)

    def _require_finite(self, values: dict[str, float]) -> None:
        remedy = "the last good checkpoint is kept. Try a lower learning rate (--set lr=...) or --set bf16=false"
        require_finite(values, "emo-avatar: training", self.step, remedy)

    def averaged_avatar(self) -> AvatarRenderer:
        """Return a copy of the avatar with the averaged weights, for rendering."""
        avatar = copy.deepcopy(self.avatar)
        avatar.load_state_dict(self._average.merged(avatar.state_dict()))
        return avatar.eval()


def trainable(avatar: AvatarRenderer) -> dict[str, nn.Parameter]:
    """Return the parameters that the render stage trains, by name."""
    return {name: p for name, p in avatar.named_parameters() if p.requires_grad}


def condition(batch: DrivingBatch) -> Tensor:
    """Return the discriminator's input beside an image: u, v in [-1, 1] inside the mask, and the mask."""
    uv = (batch.uv.permute(0, 3, 1, 2) * 2.0 - 1.0) * batch.mask
    return torch.cat((uv, batch.mask), dim=1)


def enlarged(images: Tensor, boxes: Tensor, size_px: int) -> Tensor:
    """Cut one box ``[B, 4]`` (px) out of each image and resize it to ``[B, 3, size, size]``, differentiable."""
    from torchvision.ops import roi_align

    numbers = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
    boxes = torch.cat((numbers, boxes), dim=1)
    return torch.as_tensor(roi_align(images, boxes, size_px, sampling_ratio=1, aligned=True))


def _parameter_groups(avatar: AvatarRenderer, config: EmoAvatarConfig) -> list[dict[str, Any]]:
    texture = list(avatar.texture.levels)
    known = {id(p) for p in texture}
    rest = [p for p in trainable(avatar).values() if id(p) not in known]
    groups: list[dict[str, Any]] = [
        {"params": [level], "lr": config.texture_lr, "weight_decay": config.texture_decay[index]}
        for index, level in enumerate(texture)
    ]
    return [*groups, {"params": rest, "lr": config.lr, "weight_decay": 0.0}]
