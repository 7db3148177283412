"""Checkpoint formats: NVIDIA pickles built here in the official layout, rosinality, safetensors, bad ones."""

import argparse
import io
import json
import os
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emo_avatar.checkpoints import load_stylegan2, save_stylegan2
from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_bench.errors import UserError

SHARED = Path(os.environ.get("EMO_BENCH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
GOLDEN = SHARED / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no shared/golden beside the checkout")

Arrays = dict[str, torch.Tensor]


def golden(name: str) -> tuple[Arrays, Arrays]:
    with np.load(GOLDEN / name) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    state = {key.removeprefix("state/"): v for key, v in arrays.items() if key.startswith("state/")}
    return state, {key: v for key, v in arrays.items() if not key.startswith("state/")}


class Persistent:
    """Pickles as NVIDIA's `persistent_class` objects do."""

    def __init__(self, class_name: str, **state: Any) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit('stored source was executed')",
            "class_name": self.class_name,
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


@pytest.fixture
def nvidia_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the official code, only so that pickle can write their names."""

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("never called")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    EasyDict = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    contents: dict[str, dict[str, Any]] = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
    }
    for name, content in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


BUFFERS = ("resample_filter", "noise_const", "w_avg")


def module_tree(class_name: str, state: Arrays, **extra: Any) -> Persistent:
    """The nested objects of a flat state dict, with the bookkeeping that nn.Module pickles."""
    parameters: OrderedDict[str, Any] = OrderedDict()
    buffers: OrderedDict[str, Any] = OrderedDict()
    children: dict[str, Arrays] = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = value
        elif head in BUFFERS:
            buffers[head] = value
        else:
            parameters[head] = torch.nn.Parameter(value)
    modules = OrderedDict((name, module_tree("Layer", child)) for name, child in children.items())
    return Persistent(
        class_name,
        training=False,
        _parameters=parameters,
        _buffers=buffers,
        _non_persistent_buffers_set=set(),
        _backward_hooks=OrderedDict(),
        _modules=modules,
        weight_gain=1 / np.sqrt(np.float64(9)),
        **extra,
    )


def nvidia_pickle(protocol: int = 3, **changes: Any) -> bytes:
    """A pickle of the golden networks in the layout of NVIDIA's trainer."""
    EasyDict = sys.modules["dnnlib.util"].EasyDict
    g_state, _ = golden("stylegan2_nvidia_64.npz")
    d_state, _ = golden("stylegan2_nvidia_64_discriminator.npz")
    sizes = {"c_dim": 0, "img_resolution": 64, "img_channels": 3}
    g_kwargs = EasyDict(
        z_dim=32,
        w_dim=32,
        mapping_kwargs=EasyDict(num_layers=2),
        synthesis_kwargs=EasyDict(channel_base=1024, channel_max=32, num_fp16_res=4, conv_clamp=256),
        **sizes,
    )
    g_kwargs.update(changes.pop("g_kwargs", {}))
    d_kwargs = EasyDict(
        block_kwargs=EasyDict(freeze_layers=0),
        mapping_kwargs=EasyDict(),
        epilogue_kwargs=EasyDict(mbstd_group_size=None),
        channel_base=1024,
        channel_max=32,
        **sizes,
    )
    content = {
        "G": None,
        "D": module_tree("Discriminator", d_state, _init_args=(), _init_kwargs=d_kwargs),
        "G_ema": module_tree("Generator", g_state, _init_args=(), _init_kwargs=g_kwargs),
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="/data"),
        "augment_pipe": None,
    }
    content.update(changes)
    return pickle.dumps(content, protocol=protocol)


@needs_golden
@pytest.mark.parametrize("protocol", [2, 3, 4])
@torch.no_grad()
def test_nvidia_pickle(nvidia_modules: None, tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(nvidia_pickle(protocol))
    checkpoint = load_stylegan2(path)
    assert checkpoint.source == "nvidia-pickle"
    assert checkpoint.generator.config.conv_clamp == 256
    _, arrays = golden("stylegan2_nvidia_64.npz")
    ws = checkpoint.generator.mapping(arrays["out/z"], truncation_psi=0.7, truncation_cutoff=8)
    assert (ws - arrays["out/ws_psi0.7_cutoff8"]).abs().max() < 1e-4
    images = checkpoint.generator.synthesis(arrays["out/ws"], noise_mode="none")
    assert (images - arrays["out/img_noise_none"]).abs().max() < 1e-4
    assert checkpoint.discriminator is not None
    _, arrays = golden("stylegan2_nvidia_64_discriminator.npz")
    assert (checkpoint.discriminator(arrays["in/img"]) - arrays["out/logits"]).abs().max() < 1e-4


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@needs_golden
@pytest.mark.parametrize("place", ["augment_pipe", "storage"])
def test_malicious_pickle_is_refused_by_name(nvidia_modules: None, tmp_path: Path, place: str) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "network.pkl"
    if place == "storage":
        # Hidden in the nested bytes of a tensor's storage.
        nested = pickle.dumps(Malicious(marker), protocol=2)
        path.write_bytes(pickle.dumps(_StorageBytes(nested), protocol=2))
    else:
        path.write_bytes(nvidia_pickle(augment_pipe=Malicious(marker)))
    with pytest.raises(UserError, match=r"posix\.system") as caught:
        load_stylegan2(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


class _StorageBytes:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.data,)


@needs_golden
@pytest.mark.parametrize(
    ("g_kwargs", "message"),
    [
        ({"c_dim": 5}, "class-conditional"),
        ({"synthesis_kwargs": {"channel_base": 2048, "channel_max": 32}}, "b64"),
        ({"synthesis_kwargs": {"channel_base": 1024, "magic": 1}}, "magic"),
        ({"mapping_kwargs": {"num_layers": 2, "activation": "relu"}}, "activation"),
        ({"mapping_kwargs": {}}, "fc2"),
    ],
)
def test_init_kwargs_are_read(nvidia_modules: None, tmp_path: Path, g_kwargs: dict[str, Any], message: str) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(nvidia_pickle(g_kwargs=g_kwargs))
    with pytest.raises(UserError, match=message):
        load_stylegan2(path)


@needs_golden
@pytest.mark.parametrize("layout", ["latent_avg", "trainer", "decoder"])
@torch.no_grad()
def test_rosinality(tmp_path: Path, layout: str) -> None:
    state, arrays = golden("stylegan2_rosinality_64.npz")
    average = torch.arange(32.0)
    content: dict[str, Any] = {
        "latent_avg": {"g_ema": state, "latent_avg": average},
        "trainer": {"g": {}, "g_ema": state, "args": argparse.Namespace(size=64)},
        "decoder": {
            "state_dict": {f"decoder.{k}": v for k, v in state.items()} | {"encoder.x": torch.ones(1)},
            "latent_avg": average.expand(10, 32),
        },
    }[layout]
    path = tmp_path / "network.pt"
    torch.save(content, path)
    checkpoint = load_stylegan2(path)
    assert checkpoint.source == "rosinality"
    assert checkpoint.discriminator is None
    generator = checkpoint.generator
    assert (generator.mapping(arrays["out/z"]) - arrays["out/latents"]).abs().max() < 1e-4
    images = generator.synthesis(arrays["out/latents"])
    assert (images - arrays["out/img_fixed_noise"]).abs().max() < 1e-4
    if layout == "trainer":
        assert 0 < generator.mapping.w_avg.norm() < arrays["out/latents"].norm(dim=2).max()
    else:
        assert torch.equal(generator.mapping.w_avg, average)


@torch.no_grad()
def test_rosinality_discriminator(tmp_path: Path) -> None:
    """The parameter names of rosinality's discriminator, written out for a 32 px network."""
    torch.manual_seed(0)
    own = Discriminator(DiscriminatorConfig(32, channel_base=256, channel_max=16))
    for parameter in own.parameters():
        parameter.normal_()
    named = {f"b{r}.": f"convs.{i + 1}." for i, r in enumerate((32, 16, 8))}
    leaves = {
        "conv0.weight": "conv1.0.weight",
        "conv0.bias": "conv1.1.bias",
        "conv1.weight": "conv2.1.weight",
        "conv1.bias": "conv2.2.bias",
        "skip.weight": "skip.1.weight",
    }
    ends = {
        "b32.fromrgb.weight": "convs.0.0.weight",
        "b32.fromrgb.bias": "convs.0.1.bias",
        "b4.conv.weight": "final_conv.0.weight",
        "b4.conv.bias": "final_conv.1.bias",
        "b4.fc.weight": "final_linear.0.weight",
        "b4.fc.bias": "final_linear.0.bias",
        "b4.out.weight": "final_linear.1.weight",
        "b4.out.bias": "final_linear.1.bias",
    }
    critic = {}
    for name, value in own.state_dict().items():
        block, leaf = name.split(".", 1)
        critic[ends.get(name) or named[f"{block}."] + leaves[leaf]] = value
    state, _ = golden("stylegan2_rosinality_64.npz") if GOLDEN.is_dir() else pytest.skip("no shared/golden")
    path = tmp_path / "network.pt"
    torch.save({"g_ema": state, "d": critic}, path)
    loaded = load_stylegan2(path).discriminator
    assert loaded is not None
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(loaded(images), own(images))


def networks() -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    config = GeneratorConfig(
        32, z_dim=8, w_dim=12, mapping_layers=3, mapping_width=20, channel_base=256, channel_max=16, use_noise=False
    )
    return Generator(config), Discriminator(DiscriminatorConfig(32, channel_base=128, channel_max=8))


@torch.no_grad()
@pytest.mark.parametrize("half", [False, True])
def test_safetensors_round_trip(tmp_path: Path, half: bool) -> None:
    generator, discriminator = networks()
    path = tmp_path / "deep" / "own.safetensors"
    save_stylegan2(path, generator, discriminator, {"licence": "CC0-1.0"}, half=half)
    assert [p.name for p in path.parent.iterdir()] == ["own.safetensors"]
    checkpoint = load_stylegan2(path)
    assert checkpoint.source == "safetensors"
    assert checkpoint.metadata == {"licence": "CC0-1.0"}
    assert checkpoint.generator.config == generator.config
    assert checkpoint.discriminator is not None
    assert checkpoint.discriminator.config == discriminator.config
    z = torch.randn(2, 8)
    images, expected = checkpoint.generator(z), generator(z)
    if half:
        assert (images - expected).abs().max() < 5e-3 * expected.abs().max()
    else:
        assert torch.equal(images, expected)
    save_stylegan2(path, generator)
    assert load_stylegan2(path).discriminator is None


def bad_files(folder: Path) -> dict[str, str]:
    """File name to the words that its message must hold."""
    generator, _ = networks()
    save_stylegan2(folder / "whole.safetensors", generator)
    whole = (folder / "whole.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    configs = json.dumps({"generator": {"img_resolution": 32, "wings": 2}})
    header = {"format": "emo-avatar-stylegan2-1", "config": configs, "metadata": "{}"}
    save_file({"x": torch.zeros(1)}, folder / "header.safetensors", metadata=header)
    (folder / "text.pkl").write_text("hello")
    (folder / "empty.pkl").write_bytes(b"")
    (folder / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    (folder / "cut.pkl").write_bytes(pickle.dumps({"G_ema": list(range(1000))})[:500])
    (folder / "tf.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00.")
    torch.save({"weights": torch.zeros(1)}, folder / "other.pt")
    torch.save({"g_ema": {"convs.0.x": torch.zeros(1), "layer": torch.zeros(2)}}, folder / "strange.pt")
    buffer = io.BytesIO()
    torch.save({"g_ema": Malicious(folder / "executed")}, buffer)
    (folder / "evil.pt").write_bytes(buffer.getvalue())
    return {
        "missing.pkl": "No such file",
        "cut.safetensors": "safetensors",
        "other.safetensors": "save_stylegan2",
        "header.safetensors": "wings",
        "text.pkl": "no StyleGAN2 checkpoint",
        "empty.pkl": "no StyleGAN2 checkpoint",
        "list.pkl": "no generator",
        "cut.pkl": "cannot be read",
        "tf.pkl": "dnnlib.tflib.network.Network",
        "other.pt": "no rosinality generator",
        "strange.pt": "not rosinality",
        "evil.pt": "posix.system",
    }


def test_bad_files_get_one_line(tmp_path: Path) -> None:
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(UserError) as caught:
            load_stylegan2(tmp_path / name)
        assert words in str(caught.value), name
        assert name in str(caught.value)
        assert "\n" not in str(caught.value), name
    assert not (tmp_path / "executed").exists()
