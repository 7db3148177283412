"""Networks: StyleGAN2 pickles and safetensors, CLIP folders."""

from __future__ import annotations

import io
import json
import pickle
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.container_changes import changed_pickle, changed_safetensors, changed_zip, mixed
from tests.fuzz.reader import Place, Reader
from tests.fuzz.value_changes import changed_json

SMALL = {"img_resolution": 32, "z_dim": 4, "w_dim": 4, "mapping_layers": 2, "channel_base": 128, "channel_max": 4}
CLIP = {
    "model_cfg": {
        "embed_dim": 8,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "size": [16, 16], "mode": "RGB"},
}
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def _generator() -> Any:
    import torch

    from emo_avatar.stylegan2 import Generator, GeneratorConfig

    torch.manual_seed(0)
    return Generator(GeneratorConfig(**SMALL)).eval()  # type: ignore[arg-type]


def pickles(folder: Path) -> Sequence[bytes]:
    """A small generator as NVIDIA's trainer pickles it, and as rosinality's."""
    import torch

    state = _generator().state_dict()
    modern, legacy = io.BytesIO(), io.BytesIO()
    content = {"g_ema": _rosinality(state), "latent_avg": torch.zeros(SMALL["w_dim"])}
    torch.save(content, modern)
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    return [_nvidia(state, 2), _nvidia(state, 4), modern.getvalue(), legacy.getvalue()]


class _Persistent:
    """Pickles as an object of NVIDIA's ``persistent_class`` does."""

    def __init__(self, class_name: str, **state: Any) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": "", "class_name": class_name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _tree(class_name: str, state: dict[str, Any], **extra: Any) -> _Persistent:
    """Nested modules of a flat state."""
    own: dict[str, OrderedDict[str, Any]] = {
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_modules": OrderedDict(),
    }
    children: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = value
        else:
            own["_buffers" if head in ("resample_filter", "noise_const", "w_avg") else "_parameters"][head] = value
    own["_modules"].update({name: _tree("Layer", child) for name, child in children.items()})
    return _Persistent(class_name, training=False, **own, **extra)


def _nvidia(state: dict[str, Any], protocol: int) -> bytes:
    """Under the names of the official modules, which are not here."""
    for name in ("torch_utils", "torch_utils.persistence"):
        sys.modules[name] = types.ModuleType(name)

    def _reconstruct_persistent_obj(meta: Any) -> None: ...

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    sizes = {"c_dim": 0, "img_resolution": SMALL["img_resolution"], "img_channels": 3}
    kwargs = {
        "z_dim": SMALL["z_dim"], "w_dim": SMALL["w_dim"], "mapping_kwargs": {"num_layers": SMALL["mapping_layers"]},
        "synthesis_kwargs": {"channel_base": SMALL["channel_base"], "channel_max": SMALL["channel_max"],
            "num_fp16_res": 4, "conv_clamp": 256},
        **sizes,
    }  # fmt: skip
    content: dict[str, Any] = {
        "G": None,
        "D": None,
        "G_ema": _tree("Generator", state, _init_args=(), _init_kwargs=kwargs),
        "training_set_kwargs": {},
    }
    try:
        return pickle.dumps(content, protocol=protocol)
    finally:
        for name in ("torch_utils", "torch_utils.persistence"):
            del sys.modules[name]


def _rosinality(state: dict[str, Any]) -> dict[str, Any]:
    """The state under rosinality's names, with the axes that it keeps."""
    leaves = {
        "weight": "conv.weight",
        "affine.weight": "conv.modulation.weight",
        "affine.bias": "conv.modulation.bias",
        "bias": "activate.bias",
        "noise_strength": "noise.weight",
    }
    made: dict[str, Any] = {}
    for name, value in state.items():
        if found := re.fullmatch(r"mapping\.fc(\d+)\.(\w+)", name):
            made[f"style.{int(found[1]) + 1}.{found[2]}"] = value
        elif name == "synthesis.b4.const":
            made["input.input"] = value[None]
        elif found := re.fullmatch(r"synthesis\.b(\d+)\.(conv[01]|torgb)\.(.+)", name):
            level = int(found[1]).bit_length() - 3
            if found[2] == "torgb":
                layer = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"
                leaf = "bias" if found[3] == "bias" else leaves[found[3]]
                made[f"{layer}.{leaf}"] = (
                    value.reshape(1, -1, 1, 1) if leaf == "bias" else value[None] if leaf == "conv.weight" else value
                )
                continue
            place = 0 if level == 0 else 2 * level - 1 + int(found[2][-1])
            if found[3] == "noise_const":
                made[f"noises.noise_{place}"] = value[None, None]
                continue
            layer = "conv1" if place == 0 else f"convs.{place - 1}"
            leaf = leaves[found[3]]
            made[f"{layer}.{leaf}"] = (
                value[None] if leaf == "conv.weight" else value.reshape(1) if leaf == "noise.weight" else value
            )
    return made


def open_network(prepared: Path, scratch: Path) -> Place:
    """Load the network, whatever the file calls itself."""
    from emo_avatar.checkpoints import load_stylegan2

    file = scratch / "network.pkl"

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return (lambda: load_stylegan2(file),)

    return place


def safetensors(folder: Path) -> Sequence[bytes]:
    """A small generator in the project's own format, in both precisions."""
    from emo_avatar.checkpoints import save_stylegan2

    found = []
    for half in (False, True):
        save_stylegan2(folder / "network.safetensors", _generator(), metadata={"note": "small"}, half=half)
        found.append((folder / "network.safetensors").read_bytes())
    return found


def clip_folder(folder: Path) -> Sequence[bytes]:
    """A tiny CLIP with random weights; its config is what is changed."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    text = json.dumps(CLIP)
    (folder / CONFIG).write_text(text)
    model = open_clip.model.CLIP(**CLIP["model_cfg"])  # type: ignore[arg-type]
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    return [text.encode()]


def open_clip_folder(prepared: Path, scratch: Path) -> Place:
    """Find the folder and load its towers, as a metric and a loss do."""
    from emo_bench.clip.model import ClipModel, find_clip

    (scratch / WEIGHTS).symlink_to(prepared / WEIGHTS)

    def load() -> None:
        import numpy as np

        model = ClipModel(find_clip(str(scratch)))
        model.of_frames(np.zeros((1, 16, 16, 3), np.uint8))
        model.of_caption("a man")

    def place(content: bytes) -> Sequence[Any]:
        (scratch / CONFIG).write_bytes(content)
        return (load,)

    return place


NETWORKS = ("torch", "emo_avatar.checkpoints")
READERS = (
    Reader("pickle", NETWORKS, pickles, mixed(changed_pickle, changed_zip(changed_pickle)), open_network),
    Reader("safetensors", NETWORKS, safetensors, changed_safetensors, open_network),
    Reader("clip", ("torch", "open_clip", "emo_bench.clip.model"), clip_folder, changed_json, open_clip_folder),
)
