"""A few minutes of reconstruction before adversarial training, so that it starts from well-formed, blurred heads.

The generator is trained as the decoder of an autoencoder with a noisy code: the code is normalised over the batch and
mixed with noise, so that its distribution is nearly z ~ N(0, 1) from the first step on. A variational autoencoder
reaches that only after many more steps, and until then random z give no heads. The encoder's trunk has the shape of the
discriminator's and becomes its starting point.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator
from emo_avatar.stylegan2.discriminator import DiscriminatorBlock
from emo_avatar.stylegan2.layers import Conv, FullyConnected
from emo_bench.system.devices import mixed_precision

NOISE_SHARE = 0.8
"""Deviation of the noise in the code; 256 values then carry at most 57 nats about the image."""

LEARNING_RATE = 0.01


def blank_rgb(generator: Generator) -> None:
    """Make a new generator start from grey: random colours would need hundreds of steps to disappear."""
    for name, parameter in generator.named_parameters():
        if name.endswith("torgb.weight"):
            nn.init.zeros_(parameter)


def warmup_optimizer(generator: Generator, encoder: "Encoder") -> torch.optim.Adam:
    """Create Adam for both networks, with a rate that the equalised weights allow without an adversary."""
    parameters = [*generator.parameters(), *encoder.parameters()]
    return torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)


class Encoder(nn.Module):
    """Maps images to codes; its blocks have the discriminator's names."""

    def __init__(self, config: DiscriminatorConfig, z_dim: int) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DiscriminatorBlock(config, resolution))
        channels = config.channels(4)
        self.conv = Conv(channels, channels, 3)
        self.head = FullyConnected(channels * 16, z_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Encode ``[B, 3, R, R]`` to codes ``[B, z_dim]`` float32 of zero mean and unit variance over the batch."""
        x: Tensor | None = None
        img: Tensor | None = images.contiguous(memory_format=torch.channels_last)
        for resolution in self.config.resolutions[:0:-1]:
            x, img = getattr(self, f"b{resolution}")(x, img)
        assert x is not None
        with torch.autocast(x.device.type, enabled=False):
            code = self.head(self.conv(x.float()).flatten(1))
            return F.batch_norm(code, None, None, training=True)

    def hand_over(self, discriminator: Discriminator) -> None:
        """Copy the trunk to ``discriminator``, whose epilogue does not change."""
        trunk = {k: v for k, v in self.state_dict().items() if k.startswith("b")}
        discriminator.load_state_dict(trunk, strict=False)


def warmup_step(
    generator: Generator,
    encoder: Encoder,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    epsilon: Tensor,
    autocast: bool,
) -> dict[str, Tensor]:
    """Run one step on the squared error of ``real`` [B, 3, R, R], with ``epsilon`` [B, z_dim] ~ N(0, 1)."""
    with mixed_precision(real.device, autocast):
        z = math.sqrt(1 - NOISE_SHARE**2) * encoder(real) + NOISE_SHARE * epsilon
        w = generator.mapping.to_w(z)
        images = generator.synthesis(w[:, None].expand(-1, generator.config.num_ws, -1))
    error = (images - real).square().mean()
    optimizer.zero_grad(set_to_none=True)
    error.backward()
    optimizer.step()
    generator.mapping.update_w_avg(w)
    return {"mse": error.detach()}
