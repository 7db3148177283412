"""Train the autoencoder on a bank's pictures, normalise its latents, and encode a bank once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emo_bench.files import replacing
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates, warm_up_share
from emo_bench.methods.training.loop import Resumable, run_training
from emo_bench.methods.training.weight_average import WeightAverage, warmed_decay
from emo_bench.perceptual import perceptual_loss
from emo_bench.progress import track_progress
from emo_bench.system.devices import mixed_precision
from emo_bench.untrusted.npy import map_npy
from factory.diffusion.bank import Bank
from factory.diffusion.linear_start import start_linear
from factory.diffusion.networks import new_vae

NAME = "portraits-diffusion: autoencoder"
FULL_EVERY = 4
"""Every fourth step sees whole pictures, so that group norms know their statistics; the others see crops."""
WARM_UP_STEPS = 100
CHECKPOINT_EVERY = 50
QUIET = -9.0
"""First log variance of the latents: with that of a standard normal the decoder would first learn to ignore them."""
ENCODED_AT_ONCE = 16

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings of the training.

    Attributes:
        steps: number of steps; the learning rate falls over them.
        batch: crops in a step; a step of whole pictures has a quarter of it.
        crop_px: side of the crops.
        learning_rate: its peak.
        perceptual, perceptual_weight, perceptual_from: name and weight of the perceptual loss, and the share of the
            steps after which it is used.
        kl_weight: weight of the mean KL divergence of a latent from a standard normal.
        seed: seed of weights and draws.
    """

    steps: int = 4000
    batch: int = 8
    crop_px: int = 64
    learning_rate: float = 2e-4
    perceptual: str = "stlpips-alex"
    perceptual_weight: float = 0.15
    perceptual_from: float = 0.4
    kl_weight: float = 1e-4
    seed: int = 0


class AutoencoderTraining(Resumable):
    """The training of `AutoencoderKL` on numbers of a bank's pictures."""

    def __init__(self, bank: Bank, config: AutoencoderConfig, device: str = "cpu", vae: Any = None) -> None:
        torch.manual_seed(config.seed)
        self.vae = vae or new_vae()
        if vae is None:
            start_linear(self.vae)
            nn.init.constant_(self.vae.quant_conv.bias.data[self.vae.config.latent_channels :], QUIET)
        self.vae.to(device).train()
        self.optimizer = torch.optim.AdamW(self.vae.parameters(), lr=config.learning_rate, weight_decay=0.0, fused=True)
        self.average = WeightAverage(self.vae.named_parameters())
        self.parts = {"vae": self.vae, "optimizer": self.optimizer, "average": self.average}
        self._bank, self._config, self._device = bank, config, device
        self._rows = np.flatnonzero(~bank.held_out)
        self._perceptual = perceptual_loss(config.perceptual, device) if config.perceptual_weight else None

    def run_step(self) -> dict[str, float]:
        """Take one step; its draws depend only on the seed and the step's number."""
        config = self._config
        rng = np.random.default_rng((config.seed, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        images = as_tensor(self._draw(rng)).to(self._device)
        warm_up = min(WARM_UP_STEPS, max(config.steps // 20, 1))
        share = warm_up_share(self.step, warm_up) * cosine_share(min(self.step, config.steps), config.steps, 0.05)
        set_rates(self.optimizer, config.learning_rate, share)
        with mixed_precision(self._device, True):
            latents = self.vae.encode(images).latent_dist
            made = self.vae.decode(latents.sample()).sample
        l1 = (made.float() - images).abs().mean()
        kl = latents.kl().float().mean() / latents.mean[0].numel()
        loss = l1 + config.kl_weight * kl
        losses = {"l1": l1, "kl": kl}
        if self._perceptual is not None and self.step >= config.perceptual_from * config.steps:
            with mixed_precision(self._device, True):
                losses["perceptual"] = self._perceptual(made, images).float().mean()
            loss = loss + config.perceptual_weight * losses["perceptual"]
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(warmed_decay(self.step, 0.995))
        values = {name: float(losses[name].detach()) if name in losses else 0.0 for name in ("l1", "kl", "perceptual")}
        require_finite(values, NAME, self.step, "try a lower learning rate")
        self.step += 1
        return values

    def averaged(self) -> Any:
        """Return the autoencoder with averaged weights and normalised latents."""
        vae = new_vae(**dict(self.vae.config)).to(self._device)
        vae.load_state_dict(self.average.merged(self.vae.state_dict()))
        rows = np.random.default_rng(self._config.seed).permutation(self._rows)[:256]
        normalise(vae, encoded(vae, self._bank.pictures(rows), self._device))
        return vae.eval()

    def _draw(self, rng: np.random.Generator) -> Pictures:
        whole = self.step % FULL_EVERY == FULL_EVERY - 1
        count = max(self._config.batch // 4, 1) if whole else self._config.batch
        pictures = self._bank.pictures(rng.choice(self._rows, count))
        if rng.random() < 0.5:
            pictures = pictures[:, :, ::-1]
        if whole:
            return np.ascontiguousarray(pictures)
        side, room = self._config.crop_px, pictures.shape[1] - self._config.crop_px
        corners = rng.integers(room + 1, size=(count, 2))
        return np.stack([one[y : y + side, x : x + side] for one, (y, x) in zip(pictures, corners, strict=True)])


def train_autoencoder(
    bank: Bank, out: Path, config: AutoencoderConfig, device: str = "cpu", start: Any = None
) -> AutoencoderTraining:
    """Train up to the last step, or continue after an interruption; state and losses lie in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    training = AutoencoderTraining(bank, config, device, start)
    run_training(training, out, config.steps, CHECKPOINT_EVERY, NAME)
    return training


@torch.no_grad()
def normalise(vae: Any, latents: NDArray[np.float16]) -> None:
    """Change the two convolutions at the latents so that each channel has mean 0 and deviation 1 on ``latents``.

    The pictures that the autoencoder gives stay the same.
    """
    values = torch.from_numpy(latents.astype(np.float32)).transpose(0, 1).flatten(1)
    mean, deviation = (one.to(vae.device) for one in (values.mean(dim=1), values.std(dim=1)))
    count = len(mean)
    out, into = vae.quant_conv, vae.post_quant_conv
    out.weight[:count] /= deviation[:, None, None, None]
    out.bias[:count] = (out.bias[:count] - mean) / deviation
    out.bias[count:] -= 2.0 * deviation.log()
    into.bias += (into.weight[:, :, 0, 0] * mean).sum(dim=1)
    into.weight *= deviation[None, :, None, None]


def as_tensor(pictures: Pictures) -> Tensor:
    """Return pictures uint8 ``[B, S, S, 3]`` as float32 ``[B, 3, S, S]`` in [-1, 1], channels last."""
    images = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return images.contiguous(memory_format=torch.channels_last)


def as_pictures(images: Tensor) -> Pictures:
    """Return images ``[B, 3, S, S]`` in [-1, 1] as uint8 ``[B, S, S, 3]``."""
    values = ((images.detach().float().cpu() + 1.0) * 127.5).round().clamp(0, 255)
    return values.permute(0, 2, 3, 1).to(torch.uint8).numpy()


@torch.no_grad()
def encoded(vae: Any, pictures: Pictures, device: str = "cpu") -> NDArray[np.float16]:
    """Return the latents' means of pictures uint8 ``[B, S, S, 3]``: float16 ``[B, 4, S/4, S/4]``."""
    vae.eval()
    found = []
    for first in range(0, len(pictures), ENCODED_AT_ONCE):
        with mixed_precision(device, True):
            mean = vae.encode(as_tensor(pictures[first : first + ENCODED_AT_ONCE]).to(device)).latent_dist.mode()
        found.append(mean.float().cpu().numpy().astype(np.float16))
    return np.concatenate(found)


@torch.no_grad()
def reconstructed(vae: Any, pictures: Pictures, device: str = "cpu") -> Pictures:
    """Return what the autoencoder makes of pictures uint8 ``[B, S, S, 3]``, computed in float32."""
    vae.eval()
    made = [vae.decode(vae.encode(as_tensor(one[None]).to(device)).latent_dist.mode()).sample for one in pictures]
    return as_pictures(torch.cat(made))


def psnr_db(pictures: Pictures, others: Pictures) -> NDArray[np.float64]:
    """Return the PSNR of each picture, over all pixels, ``[B]``."""
    error = ((pictures.astype(np.float64) - others) ** 2).mean(axis=(1, 2, 3))
    return np.asarray(10.0 * np.log10(255.0**2 / np.maximum(error, 1e-9)))


def encode_bank(vae: Any, bank: Bank, device: str = "cpu") -> NDArray[np.float16]:
    """Return the latents of a bank's pictures, float16 ``[N, 4, S/4, S/4]``, memory-mapped.

    They are stored beside the shards and made again for another autoencoder.
    """
    mark = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        mark.update(name.encode() + value.float().cpu().numpy().tobytes())
    folder = bank.folder / f"latents-{mark.hexdigest()[:12]}"
    folder.mkdir(exist_ok=True)
    paths = {number: folder / f"{number:05d}.npy" for number, _ in bank.shards}
    done = sum(len(pictures) for number, pictures in bank.shards if paths[number].exists())
    with track_progress(len(bank), "portraits-diffusion: latents", done=done) as advance:
        for number, pictures in bank.shards:
            if not paths[number].exists():
                latents = encoded(vae, pictures, device)
                with replacing(paths[number]) as temporary, temporary.open("wb") as file:
                    np.save(file, latents)
                advance(len(pictures))
    return np.concatenate([map_npy(path, "latents") for path in paths.values()])


def reconstruction_figures(vae: Any, bank: Bank, sets: dict[str, Pictures], count: int = 64) -> dict[str, float]:
    """Return mean PSNRs: of held-out photos and paintings of the bank, and of other sets of pictures by name."""
    photos, paintings = (_some_held_out(bank, styled, count) for styled in (False, True))
    every = {"held-out photos": photos, "held-out paintings": paintings, **sets}
    return {name: float(psnr_db(some, reconstructed(vae, some)).mean()) for name, some in every.items() if len(some)}


def _some_held_out(bank: Bank, styled: bool, count: int) -> Pictures:
    kinds = np.array([row.kind == "style" for row in bank.rows], dtype=bool)
    rows = np.flatnonzero(bank.held_out & (kinds == styled))
    chosen = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)] if len(rows) else rows
    return bank.pictures(chosen) if len(chosen) else np.empty((0, 8, 8, 3), np.uint8)
