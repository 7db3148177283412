"""The StyleGAN2 that a fit starts from: found by name or path, grown or cut to the avatar's resolution."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from emo_avatar.checkpoints import load_stylegan2
from emo_avatar.stylegan2 import Generator
from emo_avatar.stylegan2.growth import grow_generator
from emo_bench import assets
from emo_bench.errors import UserError

BUNDLED = ("portraits-64",)


def prior_path(name: str) -> Path:
    """Find a prior's file: a bundled one by name, one of the asset catalogue, or a path.

    Raises:
        UserError: there is none; the line says how to get it.
    """
    if name in BUNDLED:
        return Path(str(files("emo_avatar") / "weights" / f"{name}.safetensors"))
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.suffix or name not in {entry.name for entry in assets.list_assets()}:
        raise UserError(
            f"--set prior={name}: there is no such file, bundled prior or asset; give the path of a StyleGAN2 "
            f"checkpoint (NVIDIA's .pkl, rosinality's .pt, our .safetensors) or one of: {', '.join(BUNDLED)}"
        )
    return assets.require(name).path


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the prior {path}: {error.strerror}") from error


def load_prior(name: str, resolution_px: int) -> Generator:
    """Load a prior's generator and fit it to a resolution."""
    return fit_resolution(load_stylegan2(prior_path(name)).generator, resolution_px)


def fit_resolution(generator: Generator, resolution_px: int) -> Generator:
    """Cut blocks off a skip-architecture generator or grow new ones.

    The RGB sum of the last block that remains is the image, so a cut generator gives a smaller image of the same
    head. New blocks start with an empty ``torgb``: a grown generator gives an upsampled image until it is trained.

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
