"""Training of Deep Video Portraits: losses, steps, and the state between two steps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.deep_video_portraits.conditioning import CHANNELS, Conditioning
from baselines.deep_video_portraits.config import DeepVideoPortraitsConfig
from baselines.deep_video_portraits.networks import PatchCritic
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.frames import TrainingFrames
from emo_bench.methods.training.learning_rate import cosine_share, set_rates
from emo_bench.methods.training.loop import Resumable
from emo_bench.system.devices import mixed_precision


class DeepVideoPortraitsFit(Resumable):
    """Trains the translation network against a conditional patch discriminator, step by step.

    The random numbers of a step depend only on the seed and the step's number. A fit that was killed and continues from
    a checkpoint therefore ends with the same weights as a fit without interruption (on a GPU except for the order of
    sums).

    Args:
        network: the network to train, on its device.
        frames, conditioning: the training frames and their conditioning volumes.
        config: loss weights, learning rates, numbers of steps.
        seed: the run's seed.
        device: the device of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        frames: TrainingFrames,
        conditioning: Conditioning,
        config: DeepVideoPortraitsConfig,
        seed: int,
        device: str,
    ) -> None:
        self.network = network
        self._frames, self._conditioning, self._config = frames, conditioning, config
        self._seed, self._device = seed, device
        self._seen = CHANNELS * config.discriminator_window
        critic = PatchCritic(3 + self._seen, config.discriminator_width)
        self._critic = critic.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, betas=(0.5, 0.999))
        self._critic_optimizer = torch.optim.Adam(
            self._critic.parameters(), lr=config.discriminator_lr, betas=(0.5, 0.999)
        )
        self.parts = {
            "network": network,
            "critic": self._critic,
            "optimizer": self._optimizer,
            "critic_optimizer": self._critic_optimizer,
        }

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; return its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config = self._config
        rng = np.random.default_rng((self._seed, self.step))
        # This seeds dropout.
        torch.manual_seed(int(rng.integers(2**31)))
        rows = rng.integers(len(self._frames), size=config.batch)
        target = self._frames.images(rows, self._device)
        volume = self._conditioning.batch(self._frames.indices[rows], self._device)
        condition = volume[:, -self._seen :]
        self.network.train()
        with self._precision():
            image = self.network(volume)
            losses = {"l1": F.l1_loss(image, target), "adversarial": image.new_zeros(())}
            if config.gan_weight > 0:
                self._critic.requires_grad_(False)
                losses["adversarial"] = F.softplus(-self._critic(image, condition)).mean()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        require_finite(values, "deep-video-portraits: training", self.step, "try --set lr=... or --set bf16=false")
        self._set_rates()
        self._optimizer.zero_grad(set_to_none=True)
        (config.l1_weight * losses["l1"] + config.gan_weight * losses["adversarial"]).backward()
        self._optimizer.step()
        values["discriminator"] = self._critic_step(image.detach(), target, condition)
        self.step += 1
        return values

    def _critic_step(self, image: Tensor, target: Tensor, condition: Tensor) -> float:
        if self._config.gan_weight == 0:
            return 0.0
        self._critic.requires_grad_(True)
        with self._precision():
            real, fake = self._critic(target, condition), self._critic(image, condition)
            loss = 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
        self._critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._critic_optimizer.step()
        return float(loss.detach())

    def _precision(self) -> torch.autocast:
        return mixed_precision(self._device, self._config.bf16)

    def _set_rates(self) -> None:
        config = self._config
        share = cosine_share(self.step, config.steps, config.final_lr_share)
        set_rates(self._optimizer, config.lr, share)
        set_rates(self._critic_optimizer, config.discriminator_lr, share)
