"""Convert rosinality StyleGAN2 checkpoints (also pSp/e4e/StyleGANEX decoders) to NVIDIA's names.

The format does not store how the network was built: every size is inferred from the tensors.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.exact import build_exactly
from emo_avatar.stylegan2.fir import fir_kernel
from emo_bench.errors import UserError
from emo_bench.untrusted.pickle_machine import Stateful
from emo_bench.untrusted.refusal import Unreadable, short, shown
from emo_bench.untrusted.torch_archive import read_torch

W_AVG_SAMPLES = 10_000
# The number of blocks for 1024 px; a network with more blocks is not supported.
MOST_BLOCKS = 8
FILTER = re.compile(r"\.kernel$")


class _CommandLine(Stateful):
    """A replacement for the ``argparse.Namespace`` that rosinality's trainer stores; its content is not needed."""

    def set_state(self, state: Any) -> None:
        pass


def read_rosinality(path: Path) -> tuple[Generator, Discriminator | None]:
    """Read ``g_ema`` (else ``g``, else ``state_dict``'s ``decoder.*``), ``latent_avg`` and ``d``.

    A file without ``latent_avg`` gets the mean of 10,000 mapped latents. Nothing from the file is executed. Raises
    UserError, and other exceptions for a hostile file: call it inside `emo_bench.untrusted.refusal.reading`.
    """
    content = read_torch(path, "StyleGAN2 checkpoint", {"argparse.Namespace": _CommandLine})
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a StyleGAN2 checkpoint.")
    weights, average = _generator_weights(content, path)
    try:
        generator = _generator(weights, average)
        critic = content.get("d")
        return generator, _discriminator(_tensors(critic)) if isinstance(critic, dict) else None
    except (KeyError, IndexError) as error:
        missing = short(str(error.args[0]) if error.args else "a tensor", 80)
        raise UserError(f"{path} is not a rosinality StyleGAN2 checkpoint (missing {missing}).") from error


def _generator_weights(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    for key in ("g_ema", "g", "state_dict"):
        weights = content.get(key)
        if not isinstance(weights, dict):
            continue
        if not all(isinstance(name, str) for name in weights):
            raise Unreadable(f"{key} is not a dictionary of names")
        if any(name.startswith("decoder.") for name in weights):
            weights = {
                name.removeprefix("decoder."): value for name, value in weights.items() if name.startswith("decoder.")
            }
        average = content.get("latent_avg")
        return _tensors(weights), average if isinstance(average, Tensor) else None
    raise UserError(f"{path} holds no rosinality generator (g_ema, g or state_dict).")


def _tensors(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the dictionary after checking that it holds tensors by name and nothing else."""
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Unreadable(f"{shown(name)} is not a tensor with a name")
    return dict(weights)


def _widths_to_channels(widths: dict[int, int]) -> tuple[int, int]:
    """Find ``channel_base`` and ``channel_max`` from the width at each resolution."""
    resolution = max(widths)
    base, largest = widths[resolution] * resolution, widths[4]
    for r, width in widths.items():
        if width != min(base // r, largest):
            raise UserError(f"the widths {widths} follow no channel_base and channel_max.")
    return base, largest


def _without_filters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the blur kernels, which must be the usual ones."""
    kept: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not FILTER.search(name):
            kept[name] = value
        elif value.shape != (4, 4) or not torch.allclose(value.float() / value.float().sum(), fir_kernel(), atol=1e-4):
            raise UserError(f"the filter {short(name, 80)} is not the usual [1, 3, 3, 1], which is not supported.")
    return kept


def _generator(weights: Mapping[str, Tensor], average: Tensor | None) -> Generator:
    weights = _without_filters(weights)
    blocks = len({name.split(".")[1] for name in weights if name.startswith("convs.")}) // 2
    if not 0 < blocks <= MOST_BLOCKS:
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
    state.setdefault("mapping.w_avg", torch.zeros(config.w_dim))
    generator = build_exactly(Generator, config, state)
    if average is None:
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            w = generator.mapping.to_w(torch.randn(W_AVG_SAMPLES, config.z_dim, generator=rng))
        generator.mapping.w_avg.copy_(w.mean(dim=0))
    return generator


def _generator_name(name: str) -> str:
    """Return NVIDIA's name for a generator tensor of rosinality; KeyError for an unknown one."""
    style = re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", name)
    if style:
        return f"mapping.fc{int(style[1]) - 1}.{style[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    noise = re.fullmatch(r"noises\.noise_(\d{1,2})", name)
    if noise:
        return f"{_layer(int(noise[1]))}.noise_const"
    layer = re.fullmatch(r"(conv1|convs\.(\d{1,2})|to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", name)
    leaves = {
        "conv.weight": "weight",
        "conv.modulation.weight": "affine.weight",
        "conv.modulation.bias": "affine.bias",
        "activate.bias": "bias",
        "noise.weight": "noise_strength",
        "bias": "bias",
    }
    if not layer or layer[4] not in leaves:
        raise KeyError(f"a meaning for {short(name, 60)}")
    if layer[1].startswith("to_rgb"):
        block = f"synthesis.b{4 if layer[3] is None else 8 << int(layer[3])}.torgb"
    else:
        block = _layer(0 if layer[2] is None else int(layer[2]) + 1)
    return f"{block}.{leaves[layer[4]]}"


def _layer(index: int) -> str:
    """Return NVIDIA's name of a synthesis layer: 0 is the layer at 4 px, then there are two per resolution."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"


def _squeeze(name: str, value: Tensor) -> Tensor:
    """Remove the leading or surrounding singleton axes that rosinality keeps."""
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
    if not 0 < blocks <= MOST_BLOCKS:
        raise UserError("no convs.* in the discriminator: it is not rosinality's StyleGAN2.")
    resolution = 4 << blocks
    widths = {resolution: weights["convs.0.0.weight"].shape[0]}
    for i in range(1, blocks + 1):
        widths[resolution >> i] = weights[f"convs.{i}.conv2.1.weight"].shape[0]
    base, largest = _widths_to_channels(widths)
    config = DiscriminatorConfig(resolution, channel_base=base, channel_max=largest)
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
        layer = re.fullmatch(r"convs\.([1-9])\.(.+)", name)
        if not layer or layer[2] not in leaves:
            raise KeyError(f"a meaning for {short(name, 60)}")
        state[f"b{resolution >> (int(layer[1]) - 1)}.{leaves[layer[2]]}"] = value.float()
    return build_exactly(Discriminator, config, state)
