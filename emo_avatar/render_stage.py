"""The render stage: train texture, flow, encoder and skips against the frames (paper 3.2.3)."""

from __future__ import annotations

import copy
import math
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
from emo_bench.errors import UserError
from emo_bench.system.devices import mixed_precision

Perceptual = Callable[[Tensor, Tensor], Tensor]


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
        """Weighted sum."""
        return (
            config.texture_weight * self.texture
            + config.l1_weight * self.l1
            + config.perceptual_weight * self.perceptual
            + config.mouth_perceptual_weight * self.mouth
            + config.gan_weight * self.adversarial
            + self.flow
        )


class RenderStage:
    """Trains an avatar step by step; its whole state can be saved and restored between any two steps.

    Every step draws its frames from the seed and the step's number alone, so that a run which was killed and went
    on from a checkpoint ends with the weights of an undisturbed one.

    Args:
        avatar: the renderer to train, on its device.
        frames, signals: what it is trained on.
        config: weights, learning rates, steps.
        perceptual: distance of two batches in [-1, 1], ``[B]``.
        seed: of the run.
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
        self.step = 0
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
        self._ema = {name: p.detach().clone() for name, p in trainable(avatar).items()}

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step and return its losses by name.

        Raises:
            UserError: a loss is not finite; nothing was updated by this step.
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
        self._refuse_non_finite(values)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(list(trainable(self.avatar).values()), 10.0)
        self._refuse_non_finite({"gradient": float(norm)})
        self._optimizer.step()
        values["discriminator"] = self._discriminator_step(rendering.image.detach(), target, batch, with_gan)
        self._update_ema()
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
        warm = min((self.step + 1) / 30.0, 1.0)
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / config.steps)
        factor = warm * (config.final_lr_share + (1.0 - config.final_lr_share) * cosine)
        for group, base in zip(self._optimizer.param_groups, self._base_lr, strict=True):
            group["lr"] = base * factor

    @torch.no_grad()
    def _update_ema(self) -> None:
        seen = (self.step + 1) * self._config.batch
        half_life = min(self._config.ema_half_life_images, 0.1 * seen)
        decay = 0.5 ** (self._config.batch / max(half_life, 1e-8))
        for name, parameter in trainable(self.avatar).items():
            self._ema[name].lerp_(parameter.detach(), 1.0 - decay)

    def _refuse_non_finite(self, values: dict[str, float]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"training stopped at step {self.step}: {', '.join(bad)} is not finite; the last good checkpoint "
                "is kept. Try a lower rate (--set lr=...) or --set bf16=false"
            )

    def averaged_avatar(self) -> AvatarRenderer:
        """A copy of the avatar with the averaged weights, for rendering."""
        avatar = copy.deepcopy(self.avatar)
        with torch.no_grad():
            for name, parameter in trainable(avatar).items():
                parameter.copy_(self._ema[name])
        return avatar.eval()

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on, as tensors, numbers and containers of them."""
        return {
            "step": self.step,
            "avatar": self.avatar.state_dict(),
            "discriminator": self._discriminator.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "discriminator_optimizer": self._d_optimizer.state_dict(),
            "ema": self._ema,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.step = int(state["step"])
        self.avatar.load_state_dict(state["avatar"])
        self._discriminator.load_state_dict(state["discriminator"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._d_optimizer.load_state_dict(state["discriminator_optimizer"])
        self._ema = {name: tensor.to(self._device, copy=True) for name, tensor in state["ema"].items()}


def trainable(avatar: AvatarRenderer) -> dict[str, nn.Parameter]:
    """The parameters that the render stage trains, by name."""
    return {name: p for name, p in avatar.named_parameters() if p.requires_grad}


def condition(batch: DrivingBatch) -> Tensor:
    """What the discriminator sees beside an image: u, v in [-1, 1] inside the mask, and the mask."""
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
