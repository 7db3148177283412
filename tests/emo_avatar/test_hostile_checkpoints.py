"""Checkpoints of anybody: whatever is wrong with how a network is said to be built, or with its weights, is one
line.
"""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from emo_avatar.checkpoints import FORMAT, load_stylegan2, save_stylegan2
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.errors import UserError
from tests.emo_bench.pickle_opcodes import Call, Raw, operations, pickled

SMALL = {"img_resolution": 32, "z_dim": 4, "w_dim": 4, "mapping_layers": 2, "channel_base": 128, "channel_max": 4}


def refusal(path: Path) -> str:
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        load_stylegan2(path)
    line = str(caught.value)
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
    assert time.process_time() - started < 10
    return line


def persistent(class_name: Any, state: Any) -> Call:
    """An object of NVIDIA's `persistent_class`."""
    meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": class_name, "state": state}
    return Call("torch_utils.persistence", "_reconstruct_persistent_obj", (meta,))


def tensor_of(value: Tensor) -> Call:
    """A tensor as a plain pickle holds it: its storage in the older format of torch.save."""
    made = io.BytesIO()
    torch.save(value.contiguous().storage(), made, _use_new_zipfile_serialization=False)
    storage = Call("torch.storage", "_load_from_bytes", (made.getvalue(),))
    return Call("torch._utils", "_rebuild_tensor_v2", (storage, 0, tuple(value.shape), value.stride(), False, {}))


def tree(state: Mapping[str, Tensor], **extra: Any) -> Call:
    """A network of persistent objects from a flat state."""
    parts: dict[str, dict[str, Any]] = {"_parameters": {}, "_modules": {}}
    inner: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            parts["_parameters"][head] = tensor_of(value)
    parts["_modules"] = {name: tree(child) for name, child in inner.items()}
    return persistent("Generator", {**parts, **extra})


def kwargs(**changes: Any) -> dict[str, Any]:
    sizes = {"z_dim": 4, "c_dim": 0, "w_dim": 4, "img_resolution": 32, "img_channels": 3}
    inner = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 128, "channel_max": 4}}
    return {**sizes, **inner, **changes}


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(**SMALL))  # type: ignore[arg-type]


def test_a_network_written_by_hand_is_read(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled({"G_ema": tree(generator.state_dict(), _init_kwargs=kwargs())}))
    found = load_stylegan2(path).generator.state_dict()
    assert all(torch.equal(found[name], value) for name, value in generator.state_dict().items())
    damaged = {name: value.clone() for name, value in generator.state_dict().items()}
    damaged["mapping.fc0.weight"][0, 0] = float("nan")
    path.write_bytes(pickled({"G_ema": tree(damaged, _init_kwargs=kwargs())}))
    assert "not finite" in refusal(path)


NUMBERS = (None, "x", "8", 0, -1, 1 << 40, [8], {}, Raw(b"G\x7f\xf8\0\0\0\0\0\0"), Raw(b"G@ \0\0\0\0\0\0"))
HOSTILE_KWARGS = [
    *({name: value} for name in ("z_dim", "w_dim", "img_resolution", "img_channels") for value in NUMBERS),
    *({"c_dim": value} for value in (5, "x", None, Raw(b"G\x7f\xf8\0\0\0\0\0\0"))),
    *({name: value} for name in ("mapping_kwargs", "synthesis_kwargs") for value in ([1], "x", 7, {"wings": 2})),
    *({"mapping_kwargs": {"num_layers": value}} for value in (*NUMBERS, 10**9)),
    *({"mapping_kwargs": {"num_layers": 2, "layer_features": value}} for value in NUMBERS[1:]),
    *(
        {"mapping_kwargs": {"num_layers": 2, "lr_multiplier": value}}
        for value in ("x", 0, None, Raw(b"G\x7f\xf8\0\0\0\0\0\0"))
    ),
    *({"synthesis_kwargs": {"channel_base": value}} for value in (*NUMBERS, 10**9)),
    *({"synthesis_kwargs": {"channel_max": value, "channel_base": 128}} for value in (*NUMBERS, 10**9)),
    *({"synthesis_kwargs": {"conv_clamp": value}} for value in ("x", 0, -1, [])),
    *({"synthesis_kwargs": {"architecture": value}} for value in ("x", 0, [], None)),
    *({"synthesis_kwargs": {"use_noise": value}} for value in ("x", 7, None)),
    *({"synthesis_kwargs": {"resample_filter": value}} for value in (5, "1331", [1, 2, 3], [[1], 3, 3, 1], {})),
    *({"synthesis_kwargs": {"activation": value}} for value in (5, "relu", ["lrelu"], b"lrelu")),
    {"synthesis_kwargs": {"x" * 100_000: "y" * 100_000}},
    {"\x1b[31m": 1},
]


@pytest.mark.parametrize("changes", HOSTILE_KWARGS)
def test_how_a_pickled_network_is_said_to_be_built(
    generator: Generator, changes: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled({"G_ema": tree({}, _init_kwargs=kwargs(**changes))}))
    refusal(path)


CYCLE = Raw(
    b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}q\x01("
    + operations("type") + operations("class") + operations("class_name") + operations("G")
    + operations("state") + b"}q\x02u" + b"tRq\x030h\x02("
    + operations("_init_kwargs") + operations(kwargs())
    + operations("_modules") + b"}(" + operations("synthesis") + b"h\x03uu0h\x03"
)  # fmt: skip


def doubled(levels: int) -> Raw:
    """Modules that hold the one below twice: 2^levels by name, few in the file."""
    made = operations(persistent("L", {})) + b"q\x01"
    for _ in range(levels):
        state = operations({"_modules": {"a": Raw(b"h\x01"), "b": Raw(b"h\x01")}, "_init_kwargs": kwargs()})
        made += b"0" + operations(persistent("L", Raw(state))) + b"q\x01"
    return Raw(made)


@pytest.mark.parametrize(
    "network",
    [
        persistent("G", {"_init_kwargs": kwargs(), "_modules": 7}),
        persistent("G", {"_init_kwargs": kwargs(), "_modules": {1: None}}),
        persistent("G", {"_init_kwargs": kwargs(), "_parameters": [1]}),
        persistent("G", {"_init_kwargs": kwargs(), "_buffers": "x"}),
        persistent("G", {"_init_kwargs": [1]}),
        persistent("G", {"_init_kwargs": None}),
        persistent("G", {"_init_kwargs": {}, "_init_args": 7}),
        persistent("G", {"_init_kwargs": {}, "_init_args": (1, 2)}),
        persistent("\x1b[31m" * 100_000, {}),
        persistent(7, {"_init_kwargs": 7}),
        persistent("G", 7),
        tree({"synthesis.resample_filter": torch.ones(5, 5)}, _init_kwargs=kwargs()),
        tree({"synthesis.resample_filter": torch.ones(4, 4)}, _init_kwargs=kwargs()),
        tree({"x" * 5000: torch.ones(1)}, _init_kwargs=kwargs()),
        CYCLE,
        doubled(60),
        7,
        None,
        [],
    ],
)
def test_pickled_networks_of_another_build(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    for content in ({"G_ema": network}, {"G": network}, {"G_ema": network, "G": None, "D": network}, network):
        path.write_bytes(pickled(content))
        refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        {"g_ema": {1: torch.ones(1)}},
        {"g_ema": {"convs.0.x": 7}},
        {"g_ema": {"a.kernel": torch.ones(5, 5)}},
        {"g_ema": {"a.kernel": 7}},
        {"g_ema": {"a.kernel": torch.zeros(4, 4)}},
        {"g_ema": {f"convs.{i}.conv.weight": torch.ones(1) for i in range(40)}},
        {"g_ema": {"convs.0.conv.weight": torch.ones(1), "convs.1.conv.weight": torch.ones(1),
            "conv1.conv.weight": torch.ones(())}},
        {"g_ema": {"convs.99999999999.conv.weight": torch.ones(1)}},
        {"state_dict": {"decoder.": torch.ones(1)}},
        {"state_dict": 7},
        {"latent_avg": torch.ones(3)},
        torch.ones(3),
        [1],
    ],
)  # fmt: skip
@pytest.mark.parametrize("modern", [True, False])
def test_rosinality_checkpoints_of_another_build(content: Any, modern: bool, tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    refusal(path)


def own_format(generator: Generator, config: Any, metadata: str = "{}", **tensors: Tensor) -> bytes:
    held = {f"generator.{name}": value.clone() for name, value in generator.state_dict().items()}
    text = config if isinstance(config, str) else json.dumps(config)
    return save({**held, **tensors}, {"format": FORMAT, "config": text, "metadata": metadata})


@pytest.mark.parametrize(
    "config",
    [
        {"generator": {**SMALL, "mapping_layers": 10**9}},
        {"generator": {**SMALL, "channel_max": 1 << 20}},
        {"generator": {**SMALL, "channel_base": 1 << 30}},
        {"generator": {**SMALL, "img_resolution": 1024}},
        {"generator": {**SMALL, "img_resolution": "32"}},
        {"generator": {**SMALL, "z_dim": 4.0}},
        {"generator": {**SMALL, "z_dim": True}},
        {"generator": {**SMALL, "conv_clamp": "x"}},
        {"generator": {**SMALL, "w_avg_beta": float("nan")}},
        {"generator": {**SMALL, "architecture": []}},
        {"generator": {**SMALL, "wings": 2}},
        {"generator": {"z_dim": 4}},
        {"generator": SMALL, "discriminator": SMALL},
        {"generator": SMALL, "discriminator": {"img_resolution": 32}},
        {"generator": [1]},
        {"generator": None},
        {},
        "[1]",
        "",
        "[" * 100_000,
        '{"generator":' * 50_000,
    ],
)
def test_headers_of_our_own_format(generator: Generator, config: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(own_format(generator, {"generator": SMALL}))
    load_stylegan2(path)
    path.write_bytes(own_format(generator, config))
    refusal(path)
    for metadata in ("", "[", "[" * 100_000, "[1]"):
        path.write_bytes(own_format(generator, {"generator": SMALL}, metadata))
        refusal(path)


def test_weights_that_do_not_fit_are_named_before_a_network_is_built(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    for tensors in (
        {"generator.mapping.w_avg": torch.zeros(5)},
        {"generator.more": torch.zeros(1)},
        {"generator.mapping.w_avg": torch.full((4,), float("inf"))},
    ):
        path.write_bytes(own_format(generator, {"generator": SMALL}, **tensors))
        assert next(iter(tensors)).removeprefix("generator.") in refusal(path)
    save_stylegan2(path, generator)
    whole = path.read_bytes()
    for cut in (0, 4, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refusal(path)
    path.write_bytes(struct.pack("<Q", 1 << 63) + whole[8:])
    refusal(path)
