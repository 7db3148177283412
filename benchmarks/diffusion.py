"""Measure the CPU speeds of docs/diffusion.md: ``python benchmarks/diffusion.py``.

It uses one thread and measures CPU time, so that other work on the machine does not affect the results. Rendering a
person needs MakeHuman's assets (docs/studio.md); without them that line is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from emo_bench.errors import UserError
from emo_bench.system.devices import mixed_precision
from factory.diffusion.autoencoder import as_tensor, encoded
from factory.diffusion.networks import SIDE, SIZE_PX, TEXT_WIDTH, new_scheduler, new_unet, new_vae
from factory.diffusion.tokenizer import CONTEXT

THREE = {
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
}
SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"block_out_channels": (32, 64, 128, 192), "attention_head_dim": (1, 2, 2, 3)},
    {"block_out_channels": (32, 96, 160, 256), "attention_head_dim": (1, 2, 2, 4)},
    {"block_out_channels": (32, 128, 192), "attention_head_dim": (1, 2, 3), **THREE},
    {"block_out_channels": (64, 128, 192), "attention_head_dim": (1, 2, 3), **THREE},
)
"""Other UNets than that of `networks.UNET`, which is the first one."""
CROPS, CROP_PX, EXAMPLES, STEPS = 8, 64, 16, 20


def per_second(work: Callable[[], object], items: int, times: int = 2) -> float:
    """Return items per CPU second, after one call that is not counted."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return items * times / (time.process_time() - began)


def autoencoder() -> None:
    """Print the speeds of the autoencoder."""
    vae, rng = new_vae(), np.random.default_rng(0)
    crops = as_tensor(rng.integers(0, 256, (CROPS, CROP_PX, CROP_PX, 3), dtype=np.uint8))
    pictures = rng.integers(0, 256, (CROPS, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)

    def step() -> None:
        with mixed_precision("cpu", True):
            made = vae.decode(vae.encode(crops).latent_dist.mode()).sample
        (made.float() - crops).abs().mean().backward()

    print(f"autoencoder: training, crops of {CROP_PX} px: {per_second(step, CROPS):.1f}/s")
    print(f"autoencoder: encoding {SIZE_PX} px: {per_second(lambda: encoded(vae, pictures), CROPS):.1f}/s")


def editor() -> None:
    """Print the speeds of UNets of some shapes."""
    noisy, words = torch.randn(EXAMPLES, 8, SIDE, SIDE), torch.randn(EXAMPLES, CONTEXT, TEXT_WIDTH)
    levels = torch.randint(0, 1000, (EXAMPLES,))
    for shape in SHAPES:
        unet = new_unet(**shape)

        def step(unet: torch.nn.Module = unet) -> None:
            with mixed_precision("cpu", True):
                made = unet(noisy, levels, words).sample
            made.float().square().mean().backward()

        size = sum(one.numel() for one in unet.parameters()) / 1e6
        widths = unet.config.block_out_channels
        print(f"UNet {widths}, {size:.1f} M: training {per_second(step, EXAMPLES):.1f}/s")


@torch.no_grad()
def edit() -> None:
    """Print the seconds of one edit in float32, with three UNet calls a step for both guidances."""
    vae, unet, scheduler = new_vae(), new_unet(), new_scheduler()
    scheduler.set_timesteps(STEPS)
    words, source = torch.randn(3, CONTEXT, TEXT_WIDTH), torch.randn(3, 4, SIDE, SIDE)

    def sample() -> None:
        latents = torch.randn(1, 4, SIDE, SIDE)
        for level in scheduler.timesteps:
            made = unet(torch.cat((latents.expand(3, -1, -1, -1), source), dim=1), level, words).sample
            latents = scheduler.step(made[:1], level, latents).prev_sample
        vae.decode(latents)

    print(f"one edit of {STEPS} steps, float32: {1.0 / per_second(sample, 1, 1):.1f} s")


def person() -> None:
    """Print the seconds of one person of the bank, and its pictures."""
    from factory.diffusion.shots import render_shots

    # Textures are loaded once in a bank.
    for seed in range(4):
        render_shots(seed, SIZE_PX, seed)
    began = time.process_time()
    pictures = [len(render_shots(seed, SIZE_PX, seed)[0]) for seed in range(4)]
    print(f"one person: {(time.process_time() - began) / 4:.1f} s, {np.mean(pictures):.0f} pictures")


def main() -> None:
    """Print one line per speed."""
    torch.set_num_threads(1)
    autoencoder()
    editor()
    edit()
    try:
        person()
    except UserError as error:
        print(f"one person: {error}")


if __name__ == "__main__":
    main()
