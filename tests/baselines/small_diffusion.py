"""Small random networks of the two families that the diffusion editors take, built in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

# As Stable Diffusion 1.5 and 2.1-base, and as the bundled portraits-diffusion.
SCHEDULES: dict[str, dict[str, Any]] = {
    "text-to-image": {"prediction_type": "epsilon", "steps_offset": 1, "set_alpha_to_one": False},
    "portraits": {
        "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
    },
}  # fmt: skip
FAMILIES = tuple(SCHEDULES)
SHARED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}


def scheduler_of(family: str) -> Any:
    """The scheduler of a family."""
    return pytest.importorskip("diffusers").DDIMScheduler(**SHARED, **SCHEDULES[family])


class _Texts:
    """Tokenizer and text encoder in one: a text is random numbers that its letters decide."""

    model_max_length = 5

    def __call__(self, text: Any, **_: Any) -> Any:
        if isinstance(text, torch.Tensor):
            return (torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(int(text[0]))),)
        self.input_ids = torch.tensor([sum(map(ord, text)) + len(text)])
        return self


def small_networks(family: str) -> Any:
    """Networks whose U-Net has four levels and attention on the lower three, as the bundled one; latents of 8x8.

    Attention weighs more than at a usual random start, so that a wrong attention shows. The prediction is small, as
    changes of a trained network's prediction are from step to step.
    """
    diffusers = pytest.importorskip("diffusers")
    from baselines.diffusion.networks import Networks

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16, 16, 16), layers_per_block=1, sample_size=8, out_channels=4,
        in_channels=8 if family == "portraits" else 4,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"), cross_attention_dim=16, norm_num_groups=4,
        attention_head_dim=(1, 2, 2, 2),
    )  # fmt: skip
    for name, weights in unet.named_parameters():
        if "attn" in name and "to_" in name and name.endswith("weight"):
            weights.data *= 3
    unet.conv_out.weight.data *= 0.03
    texts, vae = _Texts(), diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
    return Networks(unet.eval().requires_grad_(False), vae, texts, texts, scheduler_of(family))
