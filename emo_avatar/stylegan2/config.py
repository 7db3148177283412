"""Shapes and switches of the StyleGAN2 networks, as plain data without torch."""

from dataclasses import dataclass
from typing import Literal

from emo_bench.errors import UserError

Architecture = Literal["skip", "resnet", "orig"]
NoiseMode = Literal["const", "random", "none"]

ARCHITECTURES: tuple[Architecture, ...] = ("skip", "resnet", "orig")


@dataclass(frozen=True)
class GeneratorConfig:
    """A StyleGAN2 generator (Karras et al. 2020, section 2 and figure 7).

    The width at resolution r is ``min(channel_base // r, channel_max)``. ``mapping_width`` is the width of
    the hidden mapping layers, None for ``w_dim``. ``use_noise=False`` builds the network without noise
    inputs. ``conv_clamp`` limits activations to +-conv_clamp, None for no limit.

    Raises UserError for a resolution outside 32..1024 or not a power of two, an unknown architecture,
    or a class-conditional network.
    """

    img_resolution: int
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    img_channels: int = 3
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.995
    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture = "skip"
    use_noise: bool = True
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        check_network(self.img_resolution, self.c_dim, self.architecture)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the image resolution."""
        return resolutions_up_to(self.img_resolution)

    @property
    def num_ws(self) -> int:
        """How many w vectors the synthesis takes: one a convolution and one for the last torgb."""
        return 2 * len(self.resolutions)

    def channels(self, resolution: int) -> int:
        """Width of the block at ``resolution``."""
        return min(self.channel_base // resolution, self.channel_max)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """A StyleGAN2 discriminator (Karras et al. 2020, figure 7), the counterpart of `GeneratorConfig`.

    ``mbstd_group_size`` None takes the whole batch as one minibatch-deviation group; ``mbstd_channels`` 0
    leaves the layer out. Raises UserError like `GeneratorConfig`.
    """

    img_resolution: int
    c_dim: int = 0
    img_channels: int = 3
    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture = "resnet"
    conv_clamp: float | None = None
    mbstd_group_size: int | None = 4
    mbstd_channels: int = 1

    def __post_init__(self) -> None:
        check_network(self.img_resolution, self.c_dim, self.architecture)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the image resolution."""
        return resolutions_up_to(self.img_resolution)

    def channels(self, resolution: int) -> int:
        """Width of the block at ``resolution``."""
        return min(self.channel_base // resolution, self.channel_max)


def resolutions_up_to(img_resolution: int) -> tuple[int, ...]:
    """The block resolutions 4, 8, ... of a network for images of ``img_resolution`` pixels."""
    return tuple(2**level for level in range(2, img_resolution.bit_length()))


def check_network(img_resolution: int, c_dim: int, architecture: str) -> None:
    """Raise UserError for a network that this implementation does not cover."""
    if not 32 <= img_resolution <= 1024 or img_resolution & (img_resolution - 1):
        raise UserError(
            f"StyleGAN2 resolution {img_resolution} is not supported: use a power of two from 32 to 1024."
        )
    if c_dim != 0:
        raise UserError(
            f"this StyleGAN2 is class-conditional (c_dim {c_dim}): use one trained without labels."
        )
    if architecture not in ARCHITECTURES:
        raise UserError(f"StyleGAN2 architecture {architecture!r} is unknown: use one of {ARCHITECTURES}.")
