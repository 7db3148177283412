"""Read StyleGAN2 pickles of NVIDIA's `torch_utils.persistence` without running any code in them.

Those files store the source of their own modules, to be executed on load. The reader here (`emo_bench.untrusted`) knows
the few names that such a file needs and refuses all others; it never uses the stored source.
"""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.exact import build_exactly
from emo_avatar.stylegan2.fir import FIR_TAPS, fir_kernel
from emo_bench.errors import UserError
from emo_bench.untrusted.budget import Budget
from emo_bench.untrusted.pickle_machine import Builder, PickleMachine, dict_of
from emo_bench.untrusted.refusal import Unreadable, short, shown
from emo_bench.untrusted.torch_archive import tensor_builders

FILTER_NAME = "resample_filter"
SPEED_OPTIONS = frozenset({"num_fp16_res", "fp16_channels_last", "fused_modconv_default", "use_fp16"})
FIXED_OPTIONS: Mapping[str, object] = {"activation": "lrelu", "kernel_size": 3, "resample_filter": list(FIR_TAPS)}
# For comparison: a generator of 1024 px has 50 modules, three levels deep.
MOST_MODULES = 1000


@dataclass(frozen=True, eq=False)
class PersistentObject:
    """The content of a persistent object: the name of its class and its attributes."""

    class_name: str
    state: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Any]:
        """Return the dictionary at ``name``, empty if there is none; Unreadable if it is something else."""
        return named_values(self.state.get(name), f"{name} of {short(self.class_name, 40)}")

    def modules(self) -> Iterator[tuple[str, "PersistentObject"]]:
        """Return this module and those inside it, with dotted names; Unreadable if there are too many for a network."""
        waiting = [("", self)]
        for _ in range(MOST_MODULES):
            if not waiting:
                return
            prefix, module = waiting.pop()
            yield prefix, module
            for name, child in module.part("_modules").items():
                if isinstance(child, PersistentObject):
                    waiting.append((f"{prefix}{short(name, 40)}.", child))
        raise Unreadable(f"more than {MOST_MODULES} modules, or modules inside themselves")

    def tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers by dotted name, as in a state dict."""
        return {
            f"{prefix}{name}": value.detach()
            for prefix, module in self.modules()
            for kind in ("_parameters", "_buffers")
            for name, value in module.part(kind).items()
            if isinstance(value, Tensor)
        }

    def child(self, *path: str) -> "PersistentObject | None":
        """Return the submodule at ``path``, or None."""
        found: PersistentObject | None = self
        for name in path:
            inner = found.part("_modules").get(name) if found else None
            found = inner if isinstance(inner, PersistentObject) else None
        return found


def named_values(value: Any, where: str) -> dict[str, Any]:
    """Return ``value`` as a dictionary with names as keys, empty for None; Unreadable for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Unreadable(f"{where} is not a dictionary of names")
    return dict(value)


def _reconstruct(meta: Any) -> PersistentObject:
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise Unreadable("a persistent object without a class and a state")
    name = meta.get("class_name")
    return PersistentObject(name if isinstance(name, str) else "a class without a name", meta["state"])


BUILDERS: Mapping[str, Builder] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _reconstruct,
    "dnnlib.util.EasyDict": dict_of,
    "dnnlib.EasyDict": dict_of,
}


def read_pickle(path: Path) -> tuple[Generator, Discriminator | None]:
    """Read ``G_ema`` (else ``G``) and ``D`` of an NVIDIA pickle, executing nothing.

    Raises UserError for a class-conditional network or an option that this implementation lacks, and other exceptions
    for a hostile file: call it inside `emo_bench.untrusted.refusal.reading`.
    """
    budget = Budget(path.stat().st_size)
    builders = {**tensor_builders(budget), **BUILDERS}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        root = PickleMachine(builders, budget).read(content)  # type: ignore[arg-type]
    networks = root if isinstance(root, dict) else {"G_ema": root}
    found = [networks.get(name) for name in ("G_ema", "G")]
    source = next((network for network in found if isinstance(network, PersistentObject)), None)
    if source is None:
        raise UserError(f"{path} holds no generator (no G_ema or G): it is not a StyleGAN2 pickle.")
    critic = networks.get("D")
    generator = build_exactly(Generator, generator_config(source), _weights(source))
    if not isinstance(critic, PersistentObject):
        return generator, None
    return generator, build_exactly(Discriminator, discriminator_config(critic), _weights(critic))


def generator_config(source: PersistentObject) -> GeneratorConfig:
    """Return sizes and switches of a pickled generator, from its ``_init_kwargs``.

    Raises UserError for a missing size or an option that is not supported.
    """
    kwargs = _init_kwargs(source, ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"))
    mapping = named_values(kwargs.pop("mapping_kwargs", None), "mapping_kwargs")
    synthesis = named_values(kwargs.pop("synthesis_kwargs", None), "synthesis_kwargs")
    first = source.child("synthesis", "b4", "conv1")
    clamp_default = first.state.get("conv_clamp") if first else None
    mapping.pop("embed_features", None)
    config = GeneratorConfig(
        img_resolution=_take(kwargs, "img_resolution"),
        z_dim=_take(kwargs, "z_dim"),
        w_dim=_take(kwargs, "w_dim"),
        c_dim=_take(kwargs, "c_dim"),
        img_channels=_take(kwargs, "img_channels"),
        mapping_layers=mapping.pop("num_layers", 8),
        mapping_width=mapping.pop("layer_features", None),
        mapping_lr_multiplier=mapping.pop("lr_multiplier", 0.01),
        w_avg_beta=mapping.pop("w_avg_beta", 0.995),
        channel_base=synthesis.pop("channel_base", 32768),
        channel_max=synthesis.pop("channel_max", 512),
        architecture=synthesis.pop("architecture", "skip"),
        use_noise=synthesis.pop("use_noise", True),
        conv_clamp=synthesis.pop("conv_clamp", clamp_default),
    )
    _refuse_unknown({**kwargs, **mapping, **synthesis})
    return config


def discriminator_config(source: PersistentObject) -> DiscriminatorConfig:
    """Return sizes and switches of a pickled discriminator; UserError as for `generator_config`."""
    kwargs = _init_kwargs(source, ("c_dim", "img_resolution", "img_channels"))
    block = named_values(kwargs.pop("block_kwargs", None), "block_kwargs")
    epilogue = named_values(kwargs.pop("epilogue_kwargs", None), "epilogue_kwargs")
    block.pop("freeze_layers", None)
    for unused in ("mapping_kwargs", "cmap_dim"):
        kwargs.pop(unused, None)
    last = source.child("b4", "conv")
    config = DiscriminatorConfig(
        img_resolution=_take(kwargs, "img_resolution"),
        c_dim=_take(kwargs, "c_dim"),
        img_channels=_take(kwargs, "img_channels"),
        channel_base=kwargs.pop("channel_base", 32768),
        channel_max=kwargs.pop("channel_max", 512),
        architecture=kwargs.pop("architecture", "resnet"),
        conv_clamp=kwargs.pop("conv_clamp", last.state.get("conv_clamp") if last else None),
        mbstd_group_size=epilogue.pop("mbstd_group_size", 4),
        mbstd_channels=epilogue.pop("mbstd_num_channels", 1),
    )
    _refuse_unknown({**kwargs, **block, **epilogue})
    return config


def _init_kwargs(source: PersistentObject, positional: tuple[str, ...]) -> dict[str, Any]:
    if source.state.get("_init_kwargs") is None:
        name = short(source.class_name, 40)
        raise UserError(f"{name} does not say how it was built (_init_kwargs is missing).")
    given = source.state.get("_init_args") or ()
    if not isinstance(given, list | tuple):
        raise Unreadable("_init_args is not a list")
    return {**dict(zip(positional, given, strict=False)), **source.part("_init_kwargs")}


def _take(kwargs: dict[str, Any], name: str) -> Any:
    if name not in kwargs:
        raise UserError(f"the pickled network does not state its {name}.")
    value = kwargs.pop(name)
    return int(value) if isinstance(value, np.integer) else value


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raise UserError for an option that would change the result and is not supported."""
    for name, value in options.items():
        if name in SPEED_OPTIONS or (name in FIXED_OPTIONS and _same(value, FIXED_OPTIONS[name])):
            continue
        raise UserError(f"the pickled network was built with {short(name, 40)}={shown(value)}, which is not supported.")


def _same(value: Any, expected: object) -> bool:
    if isinstance(expected, list):
        return isinstance(value, list | tuple) and len(value) == len(expected) and list(value) == expected
    return type(value) is type(expected) and value == expected


def _weights(source: PersistentObject) -> dict[str, Tensor]:
    """Return the network's tensors without its filters, which must be the usual ones."""
    state: dict[str, Tensor] = {}
    for name, value in source.tensors().items():
        if name.rpartition(".")[2] != FILTER_NAME:
            state[name] = value.float()
        elif value.shape != (4, 4) or not torch.allclose(value.float(), fir_kernel(), atol=1e-6):
            raise UserError(f"the filter {short(name, 80)} is not the usual [1, 3, 3, 1], which is not supported.")
    return state
