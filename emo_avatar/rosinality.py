"""Translates rosinality StyleGAN2 checkpoints (also pSp/e4e/StyleGANEX decoders) to NVIDIA's names.

The format does not store how the network was built: every size is inferred from the tensors.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emo_avatar.nvidia_pickle import load_exactly
from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.fir import fir_kernel
from emo_bench.errors import UserError

W_AVG_SAMPLES = 10_000
FILTER = re.compile(r"\.kernel$")


def read_rosinality(path: Path) -> tuple[Generator, Discriminator | None]:
    """Read ``g_ema`` (else ``g``, else ``state_dict``'s ``decoder.*``), ``latent_avg`` and ``d``.

    A file without ``latent_avg`` gets the mean of 10,000 mapped latents. Nothing of the file is executed
    (``torch.load(weights_only=True)``). Raises UserError, in one line, for any other file.
    """
    content = _read(path)
    weights, average = _generator_weights(content, path)
    try:
        generator = _generator(weights, average)
        critic = content.get("d")
        return generator, _discriminator(critic) if isinstance(critic, Mapping) else None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"{path} is not a rosinality StyleGAN2 checkpoint (missing {error}).") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        # Checkpoints of rosinality's trainer carry their command line; a Namespace is inert.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it asks for {asked[1]}, refused" if asked else str(error).splitlines()[0]
        raise UserError(f"{path} is not a readable StyleGAN2 checkpoint ({reason}).") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a StyleGAN2 checkpoint.")
    return content


def _generator_weights(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    for key in ("g_ema", "g", "state_dict"):
        weights = content.get(key)
        if not isinstance(weights, Mapping):
            continue
        if any(name.startswith("decoder.") for name in weights):
            weights = {
                name.removeprefix("decoder."): value
                for name, value in weights.items()
                if name.startswith("decoder.")
            }
        average = content.get("latent_avg")
        return dict(weights), average if isinstance(average, Tensor) else None
    raise UserError(f"{path} holds no rosinality generator (g_ema, g or state_dict).")


def _widths_to_channels(widths: dict[int, int]) -> tuple[int, int]:
    """``channel_base`` and ``channel_max`` from the width of each resolution."""
    resolution = max(widths)
    base, largest = widths[resolution] * resolution, widths[4]
    for r, width in widths.items():
        if width != min(base // r, largest):
            raise UserError(f"the widths {widths} follow no channel_base and channel_max.")
    return base, largest


def _without_filters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without blur kernels, which must be the usual ones."""
    kept: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not FILTER.search(name):
            kept[name] = value
        elif not torch.allclose(value.float() / value.float().sum(), fir_kernel(), atol=1e-4):
            raise UserError(f"the filter {name} is not the usual [1, 3, 3, 1], which is not supported.")
    return kept


def _generator(weights: Mapping[str, Tensor], average: Tensor | None) -> Generator:
    weights = _without_filters(weights)
    blocks = len({name.split(".")[1] for name in weights if name.startswith("convs.")}) // 2
    if blocks == 0:
        raise UserError("no convs.* in the generator: it is not rosinality's StyleGAN2.")
    depth = len({name.split(".")[1] for name in weights if name.startswith("style.")})
    widths = {4: weights["conv1.conv.weight"].shape[1]}
    for j in range(blocks):
        widths[8 << j] = weights[f"convs.{2 * j + 1}.conv.weight"].shape[1]
    base, largest = _widths_to_channels(widths)
    config = GeneratorConfig(
        img_resolution=max(widths),
        z_dim=weights["style.1.weight"].shape[1],
        w_dim=weights[f"style.{depth}.weight"].shape[0],
        mapping_layers=depth,
        mapping_width=weights["style.1.weight"].shape[0],
        channel_base=base,
        channel_max=largest,
    )
    state = {_generator_name(name): _squeeze(name, value) for name, value in weights.items()}
    if average is not None:
        # pSp stores the same average once for every layer.
        state["mapping.w_avg"] = average.float().reshape(-1, config.w_dim).mean(dim=0)
    generator = Generator(config)
    state.setdefault("mapping.w_avg", generator.mapping.w_avg)
    load_exactly(generator, state)
    if average is None:
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            w = generator.mapping.to_w(torch.randn(W_AVG_SAMPLES, config.z_dim, generator=rng))
        generator.mapping.w_avg.copy_(w.mean(dim=0))
    return generator


def _generator_name(name: str) -> str:
    """NVIDIA's name for a generator tensor of rosinality; KeyError for an unknown one."""
    style = re.fullmatch(r"style\.(\d+)\.(weight|bias)", name)
    if style:
        return f"mapping.fc{int(style[1]) - 1}.{style[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    noise = re.fullmatch(r"noises\.noise_(\d+)", name)
    if noise:
        return f"{_layer(int(noise[1]))}.noise_const"
    layer = re.fullmatch(r"(conv1|convs\.(\d+)|to_rgb1|to_rgbs\.(\d+))\.(.+)", name)
    leaves = {
        "conv.weight": "weight",
        "conv.modulation.weight": "affine.weight",
        "conv.modulation.bias": "affine.bias",
        "activate.bias": "bias",
        "noise.weight": "noise_strength",
        "bias": "bias",
    }
    if not layer or layer[4] not in leaves:
        raise KeyError(f"a meaning for {name}")
    if layer[1].startswith("to_rgb"):
        block = f"synthesis.b{4 if layer[3] is None else 8 << int(layer[3])}.torgb"
    else:
        block = _layer(0 if layer[2] is None else int(layer[2]) + 1)
    return f"{block}.{leaves[layer[4]]}"


def _layer(index: int) -> str:
    """NVIDIA's name of the synthesis layer: 0 is the one at 4 px, then two a resolution."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"


def _squeeze(name: str, value: Tensor) -> Tensor:
    """Drop the leading or surrounding singleton axes that rosinality keeps."""
    value = value.float()
    if name.startswith("noises."):
        return value[0, 0]
    if name.endswith("noise.weight"):
        return value.reshape(())
    if name.startswith("to_rgb") and name.endswith(".bias") and "modulation" not in name:
        return value.flatten()
    if name == "input.input" or name.endswith(".conv.weight"):
        return value[0]
    return value


def _discriminator(weights: Mapping[str, Tensor]) -> Discriminator:
    weights = _without_filters(weights)
    blocks = len({name.split(".")[1] for name in weights if name.startswith("convs.")}) - 1
    resolution = 4 << blocks
    widths = {resolution: weights["convs.0.0.weight"].shape[0]}
    for i in range(1, blocks + 1):
        widths[resolution >> i] = weights[f"convs.{i}.conv2.1.weight"].shape[0]
    base, largest = _widths_to_channels(widths)
    discriminator = Discriminator(DiscriminatorConfig(resolution, channel_base=base, channel_max=largest))
    fixed = {
        "convs.0.0.weight": f"b{resolution}.fromrgb.weight",
        "convs.0.1.bias": f"b{resolution}.fromrgb.bias",
        "final_conv.0.weight": "b4.conv.weight",
        "final_conv.1.bias": "b4.conv.bias",
        "final_linear.0.weight": "b4.fc.weight",
        "final_linear.0.bias": "b4.fc.bias",
        "final_linear.1.weight": "b4.out.weight",
        "final_linear.1.bias": "b4.out.bias",
    }
    leaves = {
        "conv1.0.weight": "conv0.weight",
        "conv1.1.bias": "conv0.bias",
        "conv2.1.weight": "conv1.weight",
        "conv2.2.bias": "conv1.bias",
        "skip.1.weight": "skip.weight",
    }
    state: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name in fixed:
            state[fixed[name]] = value.float()
            continue
        _, index, leaf = name.split(".", 2)
        state[f"b{resolution >> (int(index) - 1)}.{leaves[leaf]}"] = value.float()
    load_exactly(discriminator, state)
    return discriminator
