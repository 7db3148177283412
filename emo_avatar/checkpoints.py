"""Load StyleGAN2 checkpoints of all supported formats; write our own: safetensors with the config as metadata."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

import torch

from emo_avatar.nvidia_pickle import read_pickle
from emo_avatar.rosinality import read_rosinality
from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.exact import build_exactly
from emo_bench.errors import UserError
from emo_bench.methods.training.fitted import save_tensors
from emo_bench.untrusted.refusal import Unreadable, reading, short
from emo_bench.untrusted.safetensors_file import metadata_object, read_safetensors

Config = TypeVar("Config", GeneratorConfig, DiscriminatorConfig)

Source = Literal["nvidia-pickle", "rosinality", "safetensors"]

FORMAT = "emo-avatar-stylegan2-1"
ZIP_MAGIC = b"PK\x03\x04"
LEGACY_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
PICKLE_MAGIC = b"\x80"


@dataclass(frozen=True)
class StyleGAN2Checkpoint:
    """Loaded networks, float32 on the CPU in eval mode, and the format of their file.

    ``metadata`` is the argument of `save_stylegan2`; it is empty for the other formats.
    """

    generator: Generator
    discriminator: Discriminator | None
    source: Source
    metadata: Mapping[str, str] = field(default_factory=dict)


def load_stylegan2(path: str | os.PathLike[str]) -> StyleGAN2Checkpoint:
    """Load an NVIDIA pickle, a rosinality ``.pt`` or our own safetensors; the content shows the format.

    No code of the file is executed. Raises UserError, in one line, if the file is missing, damaged, of another kind or
    class-conditional, or asks for a class that StyleGAN2 does not need.
    """
    path = Path(path)
    with reading(path, "StyleGAN2 checkpoint"):
        return _load(path)


def _load(path: Path) -> StyleGAN2Checkpoint:
    with path.open("rb") as file:
        head = file.read(16)
    metadata: Mapping[str, str] = {}
    source: Source
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        source = "safetensors"
        generator, discriminator, metadata = _read_safetensors(path)
    elif head.startswith((ZIP_MAGIC, LEGACY_TORCH_MAGIC)):
        source = "rosinality"
        generator, discriminator = read_rosinality(path)
    elif head.startswith(PICKLE_MAGIC):
        source = "nvidia-pickle"
        generator, discriminator = read_pickle(path)
    else:
        raise UserError(f"{path} is no StyleGAN2 checkpoint: give an NVIDIA .pkl, rosinality .pt or .safetensors.")
    generator.eval()
    if discriminator is not None:
        discriminator.eval()
    return StyleGAN2Checkpoint(generator, discriminator, source, metadata)


def save_stylegan2(
    path: str | os.PathLike[str],
    generator: Generator,
    discriminator: Discriminator | None = None,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write the networks and their configs as safetensors; the file appears whole or not at all.

    ``half`` stores float16, which halves the size and costs about 1e-3 of the images' range; loading
    gives float32 again. Raises ValueError for weights that float16 cannot hold.
    """
    path = Path(path)
    networks: dict[str, torch.nn.Module] = {"generator": generator}
    configs = {"generator": asdict(generator.config)}
    if discriminator is not None:
        networks["discriminator"] = discriminator
        configs["discriminator"] = asdict(discriminator.config)
    dtype = torch.float16 if half else torch.float32
    tensors: dict[str, torch.Tensor] = {}
    for prefix, network in networks.items():
        for name, value in network.state_dict().items():
            stored = value.detach().cpu().to(dtype)
            if half and not torch.isfinite(stored).all():
                raise ValueError(f"{prefix}.{name} does not fit in float16")
            tensors[f"{prefix}.{name}"] = stored.contiguous().clone()
    header = {
        "format": FORMAT,
        "config": json.dumps(configs, sort_keys=True),
        "metadata": json.dumps(dict(metadata or {}), sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, header)


def _read_safetensors(path: Path) -> tuple[Generator, Discriminator | None, Mapping[str, str]]:
    tensors, header = read_safetensors(path)
    if header.get("format") != FORMAT:
        raise UserError(f"{path} is a safetensors file, but not one that save_stylegan2 wrote.")
    configs = metadata_object(header, "config")
    generator = build_exactly(
        Generator, config_of(GeneratorConfig, configs.get("generator")), _under("generator.", tensors)
    )
    discriminator = None
    if "discriminator" in configs:
        config = config_of(DiscriminatorConfig, configs["discriminator"])
        discriminator = build_exactly(Discriminator, config, _under("discriminator.", tensors))
    metadata = metadata_object(header, "metadata")
    return generator, discriminator, {key: str(value) for key, value in metadata.items()}


def config_of(kind: type[Config], given: object) -> Config:
    """Return the configuration in a file's header: a JSON object of ``kind``'s fields; else Unreadable or UserError."""
    known = {field.name for field in fields(kind)}
    if not isinstance(given, dict):
        raise Unreadable("its header does not say how the network was built")
    if not given.keys() <= known or "img_resolution" not in given:
        odd = sorted(given.keys() ^ (known & given.keys())) or ["no img_resolution"]
        raise Unreadable(f"its header says {short(odd[0], 40)}, which no network is built with")
    return kind(**given)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value.float() for name, value in tensors.items() if name.startswith(prefix)}
