"""Sizes and switches of the StyleGAN2 networks, as plain data without torch."""

from dataclasses import dataclass
from typing import Literal

from emo_bench.errors import UserError
from emo_bench.untrusted.refusal import shown

Architecture = Literal["skip", "resnet", "orig"]
NoiseMode = Literal["const", "random", "none"]

MOST_WIDTH = 4096
ARCHITECTURES: tuple[Architecture, ...] = ("skip", "resnet", "orig")


@dataclass(frozen=True)
class GeneratorConfig:
    """A StyleGAN2 generator (Karras et al. 2020, section 2 and figure 7).

    The width at resolution r is ``min(channel_base // r, channel_max)``. ``mapping_width`` is the width of
    the hidden mapping layers, None for ``w_dim``. ``use_noise=False`` builds the network without noise
    inputs. ``conv_clamp`` limits activations to +-conv_clamp, None for no limit.

    Raises UserError for a resolution outside 32..1024 or not a power of two, an unknown architecture,
    a class-conditional network, or a size that no StyleGAN2 has (the values may come from an untrusted file).
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
        check_network(self)
        check_counts(
            z_dim=(self.z_dim, 1, MOST_WIDTH),
            w_dim=(self.w_dim, 1, MOST_WIDTH),
            mapping_layers=(self.mapping_layers, 1, 64),
        )
        if self.mapping_width is not None:
            check_counts(mapping_width=(self.mapping_width, 1, MOST_WIDTH))
        check_number("mapping_lr_multiplier", self.mapping_lr_multiplier, 1e-6, 1e3)
        check_number("w_avg_beta", self.w_avg_beta, 0.0, 1.0)
        if type(self.use_noise) is not bool:
            raise UserError(f"StyleGAN2 use_noise is {shown(self.use_noise)}: it must be true or false.")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions 4, 8, ... up to that of the image."""
        return resolutions_up_to(self.img_resolution)

    @property
    def num_ws(self) -> int:
        """The number of w vectors of the synthesis: one per convolution and one for the last torgb."""
        return 2 * len(self.resolutions)

    def channels(self, resolution: int) -> int:
        """Return the width of the block at ``resolution``."""
        return min(self.channel_base // resolution, self.channel_max)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """A StyleGAN2 discriminator (Karras et al. 2020, figure 7), the counterpart of `GeneratorConfig`.

    With ``mbstd_group_size`` None, the whole batch is one group of the minibatch deviation; with ``mbstd_channels`` 0
    there is no such layer. Raises UserError like `GeneratorConfig`.
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
        check_network(self)
        check_counts(mbstd_channels=(self.mbstd_channels, 0, 64))
        if self.mbstd_group_size is not None:
            check_counts(mbstd_group_size=(self.mbstd_group_size, 1, 4096))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions 4, 8, ... up to that of the image."""
        return resolutions_up_to(self.img_resolution)

    def channels(self, resolution: int) -> int:
        """Return the width of the block at ``resolution``."""
        return min(self.channel_base // resolution, self.channel_max)


def resolutions_up_to(img_resolution: int) -> tuple[int, ...]:
    """Return the block resolutions 4, 8, ... of a network for images of ``img_resolution`` pixels."""
    return tuple(2**level for level in range(2, img_resolution.bit_length()))


def check_network(config: GeneratorConfig | DiscriminatorConfig) -> None:
    """Raise UserError for a network that this implementation does not support, or that is too large for any memory."""
    resolution = config.img_resolution
    check_counts(img_resolution=(resolution, 1, 1 << 20))
    if not 32 <= resolution <= 1024 or resolution & (resolution - 1):
        raise UserError(f"StyleGAN2 resolution {resolution} is not supported: use a power of two from 32 to 1024.")
    if type(config.c_dim) is not int or config.c_dim != 0:
        raise UserError(
            f"this StyleGAN2 is class-conditional (c_dim {shown(config.c_dim)}): use one trained without labels."
        )
    if config.architecture not in ARCHITECTURES:
        raise UserError(f"StyleGAN2 architecture {shown(config.architecture)} is unknown: use one of {ARCHITECTURES}.")
    check_counts(
        img_channels=(config.img_channels, 1, 64),
        channel_base=(config.channel_base, resolution, 1 << 20),
        channel_max=(config.channel_max, 1, MOST_WIDTH),
    )
    if config.conv_clamp is not None:
        check_number("conv_clamp", config.conv_clamp, 1e-3, 1e9)


def check_counts(**counts: tuple[object, int, int]) -> None:
    """Raise UserError unless each value is a whole number within its bounds."""
    for name, (value, least, most) in counts.items():
        if type(value) is not int or not least <= value <= most:
            raise UserError(f"StyleGAN2 {name} is {shown(value)}: it must be a whole number from {least} to {most}.")


def check_number(name: str, value: object, least: float, most: float) -> None:
    """Raise UserError unless the value is a number from ``least`` to ``most``."""
    if type(value) not in (int, float) or not least <= float(value) <= most:  # type: ignore[arg-type]
        raise UserError(f"StyleGAN2 {name} is {shown(value)}: it must be a number from {least:g} to {most:g}.")
