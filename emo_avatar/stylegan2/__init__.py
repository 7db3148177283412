"""StyleGAN2 in plain PyTorch, exact to the NVIDIA and rosinality networks, with NVIDIA's parameter names."""

from typing import TYPE_CHECKING

import lazy_loader

from emo_avatar.stylegan2.config import Architecture, DiscriminatorConfig, GeneratorConfig, NoiseMode

if TYPE_CHECKING:
    from emo_avatar.stylegan2.discriminator import Discriminator
    from emo_avatar.stylegan2.generator import Fuse, Generator

__all__ = ["Architecture", "Discriminator", "DiscriminatorConfig", "Fuse", "Generator", "GeneratorConfig", "NoiseMode"]

# The networks, and torch with them, are imported at their first use.
__getattr__, _, _ = lazy_loader.attach(
    __name__, submod_attrs={"discriminator": ["Discriminator"], "generator": ["Fuse", "Generator"]}
)


def __dir__() -> list[str]:
    return sorted(__all__)
