"""Train a ControlNet (Zhang et al. 2023) of edges on the frozen editor: ``python -m factory.diffusion.controlnet``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.diffusion.controlnet import edges_of as frame_edges
from baselines.rerender.config import RerenderConfig
from emo_bench.methods.seeds import parse_seed
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates, warm_up_share
from emo_bench.methods.training.loop import Resumable, run_training
from emo_bench.methods.training.weight_average import WeightAverage, warmed_decay
from emo_bench.system.devices import chosen_device, mixed_precision
from emo_bench.system.endings import exit_code
from factory.diffusion.autoencoder import encode_bank
from factory.diffusion.bank import Bank, open_bank
from factory.diffusion.editor import CHECKPOINT_EVERY, LAST, Networks
from factory.diffusion.networks import attend_for_training, new_scheduler, require_diffusers
from factory.diffusion.pairs import draw, edits_of
from factory.diffusion.pipeline import load_networks
from factory.diffusion.tokenizer import encode

NAME = "portraits-diffusion: controlnet"
HINT_CHANNELS = (16, 32, 64)
"""The convolutions that bring the edges from pixels to latents: two of them halve the side."""
_PAINTER = RerenderConfig()
EDGES = (_PAINTER.edges_low, _PAINTER.edges_high)
"""Thresholds of Canny's edges: those with which Rerender-A-Video looks for them."""
WARM_UP_STEPS = 100

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class ControlConfig:
    """Settings of the training.

    Attributes:
        steps, batch, learning_rate, seed: as for the editor.
        without_source: share of examples whose source is dropped: Rerender-A-Video paints from text and edges alone.
    """

    steps: int = 4000
    batch: int = 16
    learning_rate: float = 3e-4
    without_source: float = 0.8
    seed: int = 0


def new_controlnet(unet: Any) -> Any:
    """Return a `ControlNetModel` with the UNet's encoder; its outputs are zero."""
    return require_diffusers().ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)


def edges_of(pictures: Pictures) -> Pictures:
    """Return Canny's edges of pictures uint8 ``[B, S, S, 3]``, white on black, of the same shape."""
    return np.stack([frame_edges(one, EDGES) for one in pictures])


class ControlTraining(Resumable):
    """The training on a bank's latents ``[N, 4, h, w]`` and the edges of its pictures."""

    def __init__(
        self, bank: Bank, latents: NDArray[np.float16], networks: Networks, config: ControlConfig, device: str = "cpu"
    ) -> None:
        torch.manual_seed(config.seed)
        self.control = new_controlnet(networks.unet).to(device).train()
        self.optimizer = torch.optim.AdamW(self.control.parameters(), lr=config.learning_rate, fused=True)
        self.average = WeightAverage(self.control.named_parameters())
        self.parts = {"control": self.control, "optimizer": self.optimizer, "average": self.average}
        self._networks, self._config, self._device = networks, config, device
        attend_for_training(self.control, device)
        attend_for_training(networks.unet, device)
        for frozen in (networks.unet, networks.text):
            frozen.to(device).eval().requires_grad_(False)
        self._bank, self._edits = bank, edits_of(bank, held_out=False)
        self._latents = torch.from_numpy(np.asarray(latents))
        self._signal = new_scheduler().alphas_cumprod.to(device)

    def run_step(self) -> dict[str, float]:
        """Take one step; its draws depend only on the seed and the step's number."""
        config = self._config
        rng = np.random.default_rng((config.seed, self.step, 3))
        torch.manual_seed(int(rng.integers(2**31)))
        drawn = draw(self._bank, self._edits, config.batch, rng)
        kept = (drawn.sources >= 0) & (rng.random(config.batch) >= config.without_source)
        results = self._latents[torch.from_numpy(drawn.results)].float().to(self._device)
        sources = self._latents[torch.from_numpy(np.maximum(drawn.sources, 0))].float()
        sources = (sources * torch.from_numpy(kept)[:, None, None, None]).to(self._device)
        hints = torch.from_numpy(edges_of(self._bank.pictures(drawn.results))).permute(0, 3, 1, 2).float() / 255.0
        levels = torch.from_numpy(rng.integers(0, LAST + 1, config.batch)).to(self._device)
        last = max(config.steps // 5, 1)
        left = min(max(self.step - (config.steps - last), 0), last)
        warm_up = warm_up_share(self.step, min(WARM_UP_STEPS, max(config.steps // 20, 1)))
        set_rates(self.optimizer, config.learning_rate, warm_up * cosine_share(left, last, 0.05))
        loss = self.loss(sources, results, hints.to(self._device), levels, drawn.texts, torch.randn_like(results))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.control.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(warmed_decay(self.step, 0.999))
        values = {"loss": float(loss.detach())}
        require_finite(values, NAME, self.step, "try a lower learning rate")
        self.step += 1
        return values

    def loss(
        self, sources: Tensor, results: Tensor, hints: Tensor, levels: Tensor, texts: list[str], noise: Tensor
    ) -> Tensor:
        """Return the error of the velocity that the frozen editor predicts with the help of edges ``[B, 3, S, S]``."""
        signal = self._signal[levels][:, None, None, None]
        noisy = signal.sqrt() * results + (1.0 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1.0 - signal).sqrt() * results
        inputs = torch.cat((noisy, sources), dim=1).contiguous(memory_format=torch.channels_last)
        with mixed_precision(self._device, True):
            words = self._networks.text(encode(self._networks.tokenizer, texts).to(self._device)).last_hidden_state
            down, middle = self.control(inputs, levels, words, hints, return_dict=False)
            made = self._networks.unet(
                inputs, levels, words, down_block_additional_residuals=down, mid_block_additional_residual=middle
            ).sample
        return (made.float() - wanted).square().mean()

    def averaged(self) -> Any:
        """Return the ControlNet with averaged weights."""
        control = new_controlnet(self._networks.unet)
        control.load_state_dict(self.average.merged(self.control.state_dict()))
        return control.eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    parser = argparse.ArgumentParser(prog="python -m factory.diffusion.controlnet", description=__doc__)
    config = ControlConfig()
    parser.add_argument("--out", type=Path, required=True, help="folder of the training, with its bank")
    parser.add_argument("--weights", type=Path, help="folder of the pipeline; default: OUT/portraits-diffusion")
    parser.add_argument("--steps", type=int, default=config.steps)
    parser.add_argument("--batch", type=int, default=config.batch)
    parser.add_argument("--seed", type=parse_seed, default=config.seed)
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is a GPU")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    return exit_code(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    device = chosen_device(given.device)
    vae, networks = load_networks(given.weights or given.out / "portraits-diffusion")
    bank = open_bank(given.out / "bank")
    latents = encode_bank(vae.to(device), bank, device)
    config = ControlConfig(steps=given.steps, batch=given.batch, seed=given.seed)
    training = ControlTraining(bank, latents, networks, config, device)
    folder = given.out / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    run_training(training, folder, config.steps, CHECKPOINT_EVERY, NAME)
    training.averaged().to(dtype=torch.float16).save_pretrained(given.out / "portraits-controlnet-canny")


if __name__ == "__main__":
    sys.exit(main())
