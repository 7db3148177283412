"""A few minutes of reconstruction before the adversarial game: well-formed, blurred heads to start from.

The generator is trained as the decoder of a variational autoencoder (Kingma & Welling 2014) whose latent is
z, so that z ~ N(0, 1) already gives heads when the game begins. The encoder's trunk has the shape of the
discriminator's and becomes its starting point.
"""

import torch
from torch import Tensor, nn

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator
from emo_avatar.stylegan2.discriminator import DiscriminatorBlock
from emo_avatar.stylegan2.layers import Conv, FullyConnected

PIXEL_DEVIATION = 0.3
LOG_VARIANCE_LIMIT = 8.0


class Encoder(nn.Module):
    """Images to the mean and log variance of z; its blocks are named as the discriminator's."""

    def __init__(self, config: DiscriminatorConfig, z_dim: int) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DiscriminatorBlock(config, resolution))
        channels = config.channels(4)
        self.conv = Conv(channels, channels, 3)
        self.head = FullyConnected(channels * 16, 2 * z_dim)
        # The posterior starts as the prior, and leaves it only as far as it pays.
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 3, R, R]`` to mean and log variance, each ``[B, z_dim]`` float32."""
        x: Tensor | None = None
        img: Tensor | None = images.contiguous(memory_format=torch.channels_last)
        for resolution in self.config.resolutions[:0:-1]:
            x, img = getattr(self, f"b{resolution}")(x, img)
        assert x is not None
        with torch.autocast(x.device.type, enabled=False):
            mean, log_variance = self.head(self.conv(x.float()).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

    def hand_over(self, discriminator: Discriminator) -> None:
        """Copy the trunk into ``discriminator``, whose epilogue stays as it is."""
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
    """One step on the evidence bound of ``real`` [B, 3, R, R], with ``epsilon`` [B, z_dim] ~ N(0, 1).

    The loss is in nats a pixel value, for Gaussian pixels of deviation 0.3: wide enough that the prior on
    z stays strong, since it is samples that must look right.
    """
    with torch.autocast(real.device.type, torch.bfloat16, enabled=autocast):
        mean, log_variance = encoder(real)
        z = mean + epsilon * (log_variance / 2).exp()
        w = generator.mapping.to_w(z)
        images = generator.synthesis(w[:, None].expand(-1, generator.config.num_ws, -1))
    error = (images - real).square().mean()
    divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2
    loss = error / (2 * PIXEL_DEVIATION**2) + divergence / real[0].numel()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    generator.mapping.update_w_avg(w)
    return {"loss_reconstruction": loss.detach(), "mse": error.detach(), "nats": divergence.detach()}
