"""StyleGAN2 in plain PyTorch, exact to the NVIDIA and rosinality networks, with NVIDIA's parameter names."""

from typing import TYPE_CHECKING, Any

from emo_avatar.stylegan2.config import Architecture, DiscriminatorConfig, GeneratorConfig, NoiseMode

if TYPE_CHECKING:
    from emo_avatar.stylegan2.discriminator import Discriminator
    from emo_avatar.stylegan2.generator import Fuse, Generator

__all__ = [
    "Architecture",
    "Discriminator",
    "DiscriminatorConfig",
    "Fuse",
    "Generator",
    "GeneratorConfig",
    "NoiseMode",
]


def __getattr__(name: str) -> Any:
    """Import the networks, and torch with them, when they are first asked for."""
    if name in ("Generator", "Fuse"):
        from emo_avatar.stylegan2 import generator

        return getattr(generator, name)
    if name == "Discriminator":
        from emo_avatar.stylegan2.discriminator import Discriminator

        return Discriminator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
