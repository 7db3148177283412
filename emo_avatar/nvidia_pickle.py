"""Reads StyleGAN2 pickles of NVIDIA's `torch_utils.persistence` without running anything they carry.

Those files store the source of their own modules, to be executed on load. The restricted unpickler here
knows the handful of names that such a file needs and refuses any other by name; the stored source is
never looked at.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.fir import FIR_TAPS, fir_kernel
from emo_bench.errors import UserError

FILTER_NAME = "resample_filter"
SPEED_OPTIONS = frozenset({"num_fp16_res", "fp16_channels_last", "fused_modconv_default", "use_fp16"})
FIXED_OPTIONS: Mapping[str, object] = {
    "activation": "lrelu",
    "kernel_size": 3,
    "resample_filter": list(FIR_TAPS),
}


@dataclass(frozen=True)
class PersistentObject:
    """What a persistent object stored: the name of its class and its attributes."""

    class_name: str
    state: Mapping[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by dotted name, as in a state dict."""
        found: dict[str, Tensor] = {}
        for kind in ("_parameters", "_buffers"):
            for name, value in (self.state.get(kind) or {}).items():
                if isinstance(value, Tensor):
                    found[name] = value.detach()
        for name, child in (self.state.get("_modules") or {}).items():
            if isinstance(child, PersistentObject):
                found.update({f"{name}.{key}": value for key, value in child.tensors().items()})
        return found

    def child(self, *path: str) -> "PersistentObject | None":
        """The submodule at ``path``, or None."""
        found: PersistentObject | None = self
        for name in path:
            inner = (found.state.get("_modules") or {}).get(name) if found else None
            found = inner if isinstance(inner, PersistentObject) else None
        return found


class _EasyDict(dict[str, Any]):
    """Stands in for `dnnlib.util.EasyDict`."""


def _reconstruct(meta: Mapping[str, Any]) -> PersistentObject:
    if meta.get("type") != "class" or not isinstance(meta.get("state"), Mapping):
        raise pickle.UnpicklingError("a persistent object without a class and a state")
    return PersistentObject(str(meta.get("class_name")), meta["state"])


def _load_storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """How pickle protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


def _numpy_scalar(dtype: np.dtype, data: bytes) -> Any:
    if dtype.hasobject or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a numpy scalar that is not a number")
    return np.frombuffer(data, dtype=dtype, count=1)[0]


ALLOWED: Mapping[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _reconstruct,
    "dnnlib.util.EasyDict": _EasyDict,
    "dnnlib.EasyDict": _EasyDict,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "_codecs.encode": _latin1_bytes,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch.storage._load_from_bytes": _load_storage,
    "numpy.dtype": np.dtype,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Builds the objects of `ALLOWED` and nothing else; any other name raises UserError with the name."""

    def find_class(self, module: str, name: str) -> Any:
        """The harmless stand-in for ``module.name``; UserError when there is none."""
        full = f"{module}.{name}"
        if full not in ALLOWED:
            hint = (
                " Convert TensorFlow-era pickles with NVIDIA's legacy.py first."
                if module.startswith("dnnlib.tflib")
                else ""
            )
            raise UserError(f"refused: the pickle asks for {full}, which no StyleGAN2 needs.{hint}")
        return ALLOWED[full]


def read_pickle(path: Path) -> tuple[Generator, Discriminator | None]:
    """Read ``G_ema`` (else ``G``) and ``D`` of an NVIDIA pickle, executing nothing.

    Raises UserError, in one line, for a name that is not allowed, a file that is not such a pickle, a
    class-conditional network, or an option that this implementation lacks.
    """
    try:
        with path.open("rb") as file:
            root = RestrictedUnpickler(file).load()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable StyleGAN2 pickle ({reason}).") from error
    networks = root if isinstance(root, Mapping) else {"G_ema": root}
    source = networks.get("G_ema") or networks.get("G")
    if not isinstance(source, PersistentObject):
        raise UserError(f"{path} holds no generator (no G_ema or G): it is not a StyleGAN2 pickle.")
    critic = networks.get("D")
    try:
        generator = Generator(generator_config(source))
        _load(generator, source.tensors())
        if not isinstance(critic, PersistentObject):
            return generator, None
        discriminator = Discriminator(discriminator_config(critic))
        _load(discriminator, critic.tensors())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return generator, discriminator


def generator_config(source: PersistentObject) -> GeneratorConfig:
    """Sizes and switches of a pickled generator, from its ``_init_kwargs``.

    Raises UserError for a missing size or an option that is not supported.
    """
    kwargs = _init_kwargs(source, ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"))
    mapping = dict(kwargs.pop("mapping_kwargs", None) or {})
    synthesis = dict(kwargs.pop("synthesis_kwargs", None) or {})
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
    """Sizes and switches of a pickled discriminator; UserError as for `generator_config`."""
    kwargs = _init_kwargs(source, ("c_dim", "img_resolution", "img_channels"))
    block = dict(kwargs.pop("block_kwargs", None) or {})
    epilogue = dict(kwargs.pop("epilogue_kwargs", None) or {})
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
    stored = source.state.get("_init_kwargs")
    if not isinstance(stored, Mapping):
        raise UserError(f"{source.class_name} does not say how it was built (_init_kwargs is missing).")
    return {**dict(zip(positional, source.state.get("_init_args") or (), strict=False)), **stored}


def _take(kwargs: dict[str, Any], name: str) -> int:
    if name not in kwargs:
        raise UserError(f"the pickled network does not state its {name}.")
    return int(kwargs.pop(name))


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raise UserError for an option that would change the result and is not supported."""
    for name, value in options.items():
        if name in SPEED_OPTIONS or (name in FIXED_OPTIONS and _same(value, FIXED_OPTIONS[name])):
            continue
        raise UserError(f"the pickled network was built with {name}={value!r}, which is not supported.")


def _same(value: Any, expected: object) -> bool:
    return list(value) == expected if isinstance(expected, list) else bool(value == expected)


def _load(network: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    state: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.rpartition(".")[2] != FILTER_NAME:
            state[name] = value.float()
        elif value.shape != (4, 4) or not torch.allclose(value.float(), fir_kernel(), atol=1e-6):
            raise UserError(f"the filter {name} is not the usual [1, 3, 3, 1], which is not supported.")
    load_exactly(network, state)


def load_exactly(network: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict in which every name and shape must fit; UserError with the first that does not."""
    own = network.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state:
            raise UserError(f"the checkpoint lacks {name}.")
        if name not in own:
            raise UserError(f"the checkpoint holds {name}, which this network does not have.")
        if own[name].shape != state[name].shape:
            raise UserError(
                f"{name} is {list(state[name].shape)} in the checkpoint, not {list(own[name].shape)}."
            )
    network.load_state_dict(dict(state))
