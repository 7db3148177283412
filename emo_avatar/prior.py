"""The StyleGAN2 prior of a fit: find it by name or path, and grow or cut it to the avatar's resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emo_avatar.checkpoints import load_stylegan2
from emo_avatar.stylegan2 import Generator
from emo_avatar.stylegan2.growth import grow_generator
from emo_bench import assets
from emo_bench.errors import UserError

PREFERRED, SMALL = "portraits-128", "portraits-64"


def default_prior() -> str:
    """Return the default prior of a fit: portraits-128 if it is here, else portraits-64."""
    return PREFERRED if assets.locate(PREFERRED) else SMALL


def prior_names() -> tuple[str, ...]:
    """Return the names of the priors in the asset catalogue."""
    return tuple(asset.name for asset in assets.list_assets() if asset.kind == assets.PRIOR)


def prior_path(name: str) -> Path:
    """Find a prior's file: by its name in the asset catalogue, which checks its SHA-256, or by its path.

    Raises:
        UserError: there is none, or it differs from the catalogue; the message says how to get it.
    """
    if name in prior_names():
        return assets.require(name).path
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise UserError(
        f"--set prior={name}: there is no such file; give the path of a StyleGAN2 checkpoint (NVIDIA's .pkl, "
        f"rosinality's .pt, our .safetensors) or one of: {', '.join(prior_names())}"
    )


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return assets.sha256_of(path)
    except OSError as error:
        raise UserError(f"cannot read the prior {path}: {error.strerror}") from error


def load_prior(name: str, resolution_px: int) -> Generator:
    """Load a prior's generator and fit it to a resolution.

    Raises:
        UserError: there is none, it is not a StyleGAN2 of RGB pictures, or its size differs from the catalogue.
    """
    path = prior_path(name)
    generator = load_stylegan2(path).generator
    config = generator.config
    if config.img_channels != 3:
        raise UserError(f"{path} is not a prior of pictures: it gives {config.img_channels} channels, not 3")
    if name in prior_names():
        expected_px = assets.find_asset(name).resolution_px
        if expected_px is not None and config.img_resolution != expected_px:
            raise UserError(f"{path} is not {name}: it gives {config.img_resolution} px, not {expected_px}")
    return fit_resolution(generator, resolution_px)


def fit_resolution(generator: Generator, resolution_px: int) -> Generator:
    """Remove blocks of a skip-architecture generator, or add new ones.

    The RGB sum of the last remaining block is the image, so a cut generator gives a smaller image of the same head. New
    blocks start with a zero ``torgb``: a grown generator gives an upsampled image until it is trained.

    Raises:
        UserError: the architecture has no RGB output in every block.
    """
    config = generator.config
    if config.img_resolution == resolution_px:
        return generator
    if config.architecture != "skip":
        raise UserError(
            f"this prior gives {config.img_resolution} px and its architecture '{config.architecture}' cannot be "
            f"cut or grown to {resolution_px} px: choose a prior of that size"
        )
    if resolution_px > config.img_resolution:
        return grow_generator(generator, resolution_px)
    fitted = Generator(replace(config, img_resolution=resolution_px))
    own = fitted.state_dict()
    fitted.load_state_dict({name: tensor for name, tensor in generator.state_dict().items() if name in own})
    return fitted
