"""Make a network of a higher resolution from a trained one of a lower resolution."""

import dataclasses

import torch

from emo_avatar.stylegan2.discriminator import Discriminator
from emo_avatar.stylegan2.generator import Generator


@torch.no_grad()
def grow_generator(generator: Generator, img_resolution: int) -> Generator:
    """Return a generator of ``img_resolution`` px whose images are those of ``generator``, upsampled.

    The trained blocks are copied; each new block starts with random weights and a zero torgb, so the images are exactly
    the FIR-upsampled old ones until it is trained. The new widths follow the same ``channel_base`` and ``channel_max``.
    Raises ValueError for a lower resolution, or for an architecture other than skip, because only skip sums rgb over
    blocks.
    """
    old = generator.config
    if img_resolution < old.img_resolution or old.architecture != "skip":
        raise ValueError(f"cannot grow a {old.architecture} generator of {old.img_resolution} px")
    grown = Generator(dataclasses.replace(old, img_resolution=img_resolution))
    grown.load_state_dict(generator.state_dict(), strict=False)
    for resolution in grown.config.resolutions:
        if resolution > old.img_resolution:
            torgb = getattr(grown.synthesis, f"b{resolution}").torgb
            torgb.weight.zero_()
    return grown.to(generator.mapping.w_avg.device)


@torch.no_grad()
def grow_discriminator(discriminator: Discriminator, img_resolution: int) -> Discriminator:
    """Return a discriminator of ``img_resolution`` px whose lower blocks are those of ``discriminator``."""
    grown = Discriminator(dataclasses.replace(discriminator.config, img_resolution=img_resolution))
    known = grown.state_dict()
    kept = {name: value for name, value in discriminator.state_dict().items() if name in known}
    grown.load_state_dict(kept, strict=False)
    return grown
