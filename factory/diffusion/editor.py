"""Train the UNet and the text encoder together, as InstructPix2Pix is trained (Brooks et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates, warm_up_share
from emo_bench.methods.training.loop import Resumable, run_training
from emo_bench.methods.training.weight_average import WeightAverage, warmed_decay
from emo_bench.system.devices import mixed_precision
from factory.diffusion.bank import Bank
from factory.diffusion.linear_start import start_from_source
from factory.diffusion.networks import TRAIN_TIMESTEPS, attend_for_training, new_scheduler, new_text_encoder, new_unet
from factory.diffusion.pairs import draw, edits_of
from factory.diffusion.tokenizer import encode, make_tokenizer

NAME = "portraits-diffusion: editor"
LAST = TRAIN_TIMESTEPS - 1
WARM_UP_STEPS = 100
CHECKPOINT_EVERY = 250

Latents = NDArray[np.float16]


@dataclass(frozen=True)
class EditorConfig:
    """Settings of the training.

    Attributes:
        steps: number of steps; the learning rate is constant, and falls over the last fifth of them.
        batch: examples in a step.
        learning_rate: its peak.
        regression_steps: first steps, in which all examples are at the last noise level: pure noise, so that the
            network learns to predict the result from source and text alone.
        pure_noise: share of examples at that level afterwards.
        towards_noise: exponent of the draw of noise levels; above 1 noisy ones are drawn more often.
        most_snr: clean levels weigh as if their signal-to-noise ratio plus one were at most this (as min-SNR, Hang et
            al. 2023).
        change_weight: how much more a latent weighs where source and result differ.
        average: decay of the averaged weights.
        weight_decay: decay of the matrices.
        seed: seed of weights and draws.
    """

    steps: int = 20000
    batch: int = 16
    learning_rate: float = 3e-4
    regression_steps: int = 1500
    pure_noise: float = 0.15
    towards_noise: float = 1.5
    most_snr: float = 5.0
    change_weight: float = 8.0
    average: float = 0.999
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Networks:
    """The networks of an editor: `CLIPTokenizer`, `CLIPTextModel`, `UNet2DConditionModel`."""

    tokenizer: Any
    text: Any
    unet: Any


def new_networks(seed: int = 0, **sizes: Any) -> Networks:
    """Return new networks, which leave the source as it is; ``sizes`` of the UNet may differ from `networks.UNET`."""
    torch.manual_seed(seed)
    tokenizer, unet = make_tokenizer(), new_unet(**sizes)
    start_from_source(unet)
    return Networks(tokenizer, new_text_encoder(tokenizer), unet)


class EditorTraining(Resumable):
    """The training on a bank's latents ``[N, 4, h, w]``."""

    def __init__(
        self, bank: Bank, latents: Latents, config: EditorConfig, device: str = "cpu", start: Networks | None = None
    ) -> None:
        self.networks = start or new_networks(config.seed)
        attend_for_training(self.networks.unet, device)
        self.both = nn.ModuleDict({"unet": self.networks.unet, "text": self.networks.text}).to(device).train()
        matrices = [one for one in self.both.parameters() if one.ndim > 1]
        others = [one for one in self.both.parameters() if one.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
        self.average = WeightAverage(self.both.named_parameters())
        self.parts = {"networks": self.both, "optimizer": self.optimizer, "average": self.average}
        self._bank, self._edits = bank, edits_of(bank, held_out=False)
        self._latents, self.config, self._device = torch.from_numpy(np.asarray(latents)), config, device
        self._signal = new_scheduler().alphas_cumprod.to(device)

    def run_step(self) -> dict[str, float]:
        """Take one step; its draws depend only on the seed and the step's number."""
        config = self.config
        rng = np.random.default_rng((config.seed, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        drawn = draw(self._bank, self._edits, config.batch, rng)
        sources, results = self._gathered(drawn.sources), self._gathered(drawn.results)
        levels = self._levels(rng)
        set_rates(self.optimizer, config.learning_rate, self._share())
        losses = self._losses(sources, results, levels, drawn.texts, torch.randn_like(results))
        loss = losses.mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.both.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(warmed_decay(self.step, config.average))
        pure = losses.detach()[levels == LAST]
        values = {"loss": float(loss.detach()), "at_pure_noise": float(pure.mean()) if len(pure) else float("nan")}
        require_finite({"loss": values["loss"]}, NAME, self.step, "try a lower learning rate")
        self.step += 1
        return values

    def averaged(self) -> Networks:
        """Return the networks with averaged weights."""
        import copy

        both = copy.deepcopy(self.both)
        both.load_state_dict(self.average.merged(self.both.state_dict()))
        return Networks(self.networks.tokenizer, both["text"].eval(), both["unet"].eval())

    def _losses(self, sources: Tensor, results: Tensor, levels: Tensor, texts: list[str], noise: Tensor) -> Tensor:
        """Return the weighted loss of each example ``[B]``."""
        signal = self._signal[levels][:, None, None, None]
        noisy = signal.sqrt() * results + (1.0 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1.0 - signal).sqrt() * results
        with mixed_precision(self._device, True):
            words = self.networks.text(encode(self.networks.tokenizer, texts).to(self._device)).last_hidden_state
            inputs = torch.cat((noisy, sources), dim=1).contiguous(memory_format=torch.channels_last)
            made = self.networks.unet(inputs, levels, words).sample
        changed = (results - sources).abs().mean(dim=1, keepdim=True).clamp(max=1.0)
        weight = 1.0 + self.config.change_weight * changed
        weight = weight / weight.mean(dim=(1, 2, 3), keepdim=True)
        error = (weight * (made.float() - wanted).square()).mean(dim=(1, 2, 3))
        return error * (self.config.most_snr * (1.0 - self._signal[levels])).clamp(max=1.0)

    def _levels(self, rng: np.random.Generator) -> Tensor:
        config = self.config
        drawn = np.round(LAST * (1.0 - rng.random(config.batch) ** config.towards_noise)).astype(np.int64)
        pure = rng.random(config.batch) < (1.0 if self.step < config.regression_steps else config.pure_noise)
        return torch.from_numpy(np.where(pure, LAST, drawn)).to(self._device)

    def _share(self) -> float:
        last = max(self.config.steps // 5, 1)
        left = min(max(self.step - (self.config.steps - last), 0), last)
        return warm_up_share(self.step, min(WARM_UP_STEPS, max(self.config.steps // 20, 1))) * cosine_share(
            left, last, 0.05
        )

    def _gathered(self, numbers: NDArray[np.int64]) -> Tensor:
        found = self._latents[torch.from_numpy(np.maximum(numbers, 0))].float()
        return (found * torch.from_numpy(numbers >= 0)[:, None, None, None]).to(self._device)


def train_editor(
    bank: Bank, latents: Latents, out: Path, config: EditorConfig, device: str = "cpu", start: Networks | None = None
) -> EditorTraining:
    """Train up to the last step, or continue after an interruption; state and losses lie in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    training = EditorTraining(bank, latents, config, device, start)
    run_training(training, out, config.steps, CHECKPOINT_EVERY, NAME)
    return training
