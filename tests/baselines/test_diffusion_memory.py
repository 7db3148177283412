"""How the diffusion editors save memory: what is chosen, that it saves something, and that frames stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from baselines.diffusion.attention import attention
from baselines.diffusion.networks import load_networks
from baselines.tokenflow.attention import Kind
from baselines.tokenflow.layers import token_flow
from baselines.tokenflow.window import frames_that_fit, key_frame_bytes
from emo_bench.errors import UserError
from emo_bench.methods import diffusion_memory, registry
from emo_bench.methods.diffusion_memory import Memory, chosen_memory, is_half
from emo_bench.methods.diffusion_pipelines import load_pipeline
from emo_bench.methods.interface import EditStyle, Workspace
from emo_bench.system.device_memory import CONTAINER_LIMIT, memory_bytes
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

EDITORS = ("instruct-pix2pix", "tokenflow", "rerender", "rave")
STYLE = EditStyle("bronze-statue", "a photo of a person", "a bronze statue of a person", "make it bronze", "file")
SMALL = {"resolution_px": "32", "size_px": "16", "steps": "3"}


def peak_bytes(compute: Callable[[], Any]) -> int:
    """The most memory that torch had allocated during a computation, beyond what was there before."""
    from torch.profiler import ProfilerActivity, profile

    compute()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched, torch.no_grad():
        made = compute()
    assert made is not None and watched.profiler is not None
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    assert sizes
    return int(np.max(np.cumsum(sizes)))


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return save_tiny_pipeline(tmp_path / "pipeline")


# What is chosen


def test_the_memory_of_a_gpu_decides(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = sum(file.stat().st_size for file in pipeline.rglob("*.safetensors"))
    for share, expected in ((100, "half"), (3.1, "half"), (2.9, "tiled"), (1.6, "tiled"), (1.4, "offloaded")):
        monkeypatch.setattr(diffusion_memory, "memory_bytes", lambda device, share=share: int(share * weights))
        assert chosen_memory(None, "cuda:0", pipeline) == expected
    assert chosen_memory("full", "cuda:0", pipeline) == "full"


def test_without_a_gpu_numbers_stay_exact(pipeline: Path) -> None:
    assert chosen_memory(None, "cpu", pipeline) == "full"
    assert chosen_memory("tiled", "cpu", pipeline) == "tiled"
    halves = [
        is_half(level, device) for device in ("cpu", "cuda:0") for level in ("full", "half", "tiled", "offloaded")
    ]
    assert halves == [False] * 5 + [True] * 3


@pytest.mark.parametrize("name", EDITORS)
def test_every_editor_takes_the_setting_and_says_what_it_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("portraits-diffusion", "instruct-pix2pix"):
        save_tiny_pipeline(tmp_path / "assets" / model)
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    cls = registry.method_class(name)

    def built(**settings: str) -> Any:
        return cls(Workspace(tmp_path, "smoke", 0, settings={**SMALL, **settings}))

    plain, tiled = built().describe(), built(memory="tiled").describe()
    assert (plain["memory"], tiled["memory"]) == ("full", "tiled")
    for level in ("half", "offloaded"):
        with pytest.raises(UserError, match=f"memory={level}: this needs a GPU") as raised:
            built(memory=level)
        assert "\n" not in str(raised.value)
    vaes = []

    def watched(vae: Any, memory: Memory) -> None:
        vaes.append((type(vae).__name__, memory))

    monkeypatch.setattr("baselines.diffusion.networks.save_decoding_memory", watched)
    monkeypatch.setattr("emo_bench.methods.diffusion_pipelines.save_decoding_memory", watched)
    workspace = Workspace(tmp_path / "run", "smoke", 0, settings={**SMALL, "memory": "tiled"})
    workspace.folder.mkdir()
    frames = list(cls(workspace).edit(STYLE, workspace).render(recorded(), range(3)))
    assert len(frames) == 3 and vaes == [("AutoencoderKL", "tiled")]


def recorded() -> Any:
    """Stands in for a capture: random frames."""
    drawn = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    return SimpleNamespace(fps=25, frames=lambda indices, size: [drawn[index] for index in indices])


def test_the_container_may_have_less_memory_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    total = int(psutil.virtual_memory().total)
    assert 0 < memory_bytes("cpu") <= total, CONTAINER_LIMIT
    for text, expected in (("max\n", total), ("1000000\n", 1_000_000), (f"{total * 2}\n", total)):
        (tmp_path / "limit").write_text(text)
        monkeypatch.setattr("emo_bench.system.device_memory.CONTAINER_LIMIT", tmp_path / "limit")
        assert memory_bytes("cpu") == expected
    monkeypatch.setattr("emo_bench.system.device_memory.CONTAINER_LIMIT", tmp_path / "none")
    assert memory_bytes("cpu") == total


# What it saves


def test_attention_never_holds_the_scores_of_all_pairs() -> None:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    layer, tokens = Attention(query_dim=16, heads=2, dim_head=8).requires_grad_(False), torch.randn(1, 3000, 16)
    scores = 2 * 3000**2 * 4
    for compute in (lambda: attention(layer, tokens, tokens, tokens), lambda: layer(tokens)):
        assert peak_bytes(compute) < scores / 4


def test_an_autoencoder_in_parts_needs_less_memory_and_gives_the_same_pictures(pipeline: Path) -> None:
    whole, parts = (load_networks(pipeline, "cpu", memory) for memory in ("full", "tiled"))
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    assert whole.vae.config.sample_size == 32, "larger pictures would go in tiles, whose borders differ"
    latents = whole.encoded(frames, 8)
    torch.testing.assert_close(parts.encoded(frames, 8), latents, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(parts.decoded_pixels(latents), whole.decoded_pixels(latents), atol=1e-5, rtol=1e-4)
    assert peak_bytes(lambda: parts.decoded_pixels(latents)) < 0.5 * peak_bytes(lambda: whole.decoded_pixels(latents))


def test_the_estimate_of_a_key_frame_is_above_what_the_network_takes(tmp_path: Path) -> None:
    """Measured on the sizes of the bundled network, in float32, with the tokens that the layers keep."""
    from baselines.diffusion.networks import Networks
    from factory.diffusion.networks import SIDE, SIZE_PX, new_scheduler, new_unet, new_vae

    unet, vae = new_unet().eval().requires_grad_(False), new_vae()
    unet.save_config(tmp_path / "unet")
    vae.save_config(tmp_path / "vae")
    networks = Networks(unet, vae, None, None, new_scheduler())
    text = torch.randn(1, 8, unet.config.cross_attention_dim)
    peaks = {}
    with token_flow(unet) as call:
        call.kind, call.branches = Kind.KEY_FRAMES, 3
        for keys in (2, 6):
            latents = torch.randn(3 * keys, 4, SIDE, SIDE)
            peaks[keys] = peak_bytes(lambda latents=latents: networks.predicted(latents, 500, text))  # type: ignore[misc]
    measured = (peaks[6] - peaks[2]) / 4
    assert measured < key_frame_bytes(tmp_path, SIZE_PX, half=False) < 3 * measured


def test_more_memory_holds_more_frames_and_always_a_batch(pipeline: Path) -> None:
    whole = key_frame_bytes(pipeline, 16, half=False)
    assert key_frame_bytes(pipeline, 16, half=True) == whole / 2
    found = [frames_that_fit(pipeline, 16, 8, half=False, memory_bytes=int(n * whole)) for n in (0, 2, 9, 200)]
    assert found == [8, 8, 32, 800]


def test_tokenflow_edits_a_long_clip_as_several_short_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_text_to_image(tmp_path / "assets" / "portraits-diffusion")
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))

    def rendered(name: str, rows: range, **settings: str) -> np.ndarray:
        (tmp_path / name).mkdir()
        workspace = Workspace(tmp_path / name, "smoke", 0, settings={**SMALL, "batch": "2", **settings})
        method = registry.method_class("tokenflow")(workspace).edit(STYLE, workspace)
        made = np.stack(list(method.render(recorded(), rows)))
        described: Any = method.describe()
        assert any("in 2 windows" in flag for flag in described["flags"]) == (name == "long")
        return made

    found = rendered("long", range(7), window="4")
    short = np.concatenate([rendered("first", range(4)), rendered("second", range(4, 7))])
    assert np.array_equal(found, short)
    assert not np.array_equal(found, rendered("whole", range(7)))


# Networks that leave the GPU


class Moved(torch.nn.Linear):
    """It remembers where it was sent."""

    def __init__(self, name: str, log: list[tuple[str, str]]) -> None:
        super().__init__(1, 1)
        self.name, self.log = name, log

    def to(self, device: Any) -> Any:  # type: ignore[override]
        self.log.append((self.name, str(device)))
        return self


def test_networks_take_turns_and_those_of_a_group_stay_together() -> None:
    from baselines.diffusion.gpu_turns import GpuTurns

    log: list[tuple[str, str]] = []
    text, unet, vae, control = (Moved(name, log) for name in ("text", "unet", "vae", "control"))
    turns = GpuTurns("cuda:7", [[text], [unet], [vae]])
    turns.join(control, unet)
    assert {where for _, where in log} == {"cpu"} and len(log) == 4
    for network, here in ((text, {"text"}), (unet, {"unet", "control"})):
        log.clear()
        network(torch.ones(1, 1))
        assert {name for name, where in log if where == "cuda:7"} == here
        assert {name for name, where in log if where == "cpu"} == {"text", "unet", "vae", "control"} - here
        # Memory is free before it is taken.
        assert [where for _, where in log] == sorted((where for _, where in log))
    log.clear()
    control(torch.ones(1, 1))
    unet(torch.ones(1, 1))
    assert not log, "a group that is there is not moved again"


def test_turns_change_no_frame_and_the_autoencoder_takes_them_too(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from baselines.diffusion.gpu_turns import GpuTurns

    plain, offloaded = (load_networks(pipeline, "cpu", memory) for memory in ("full", "offloaded"))
    assert offloaded.turns is not None and offloaded.device == torch.device("cpu")
    taken: list[int] = []
    monkeypatch.setattr(GpuTurns, "take", lambda self, number: taken.append(number))
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    found = []
    for networks in (plain, offloaded):
        latents = networks.encoded(frames, 2)
        made = networks.predicted(latents, 500, networks.embedded("abc"), latents)
        found.append(networks.decoded_pixels(made))
    assert taken == [2, 0, 1, 2]
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def test_a_pipeline_of_diffusers_is_offloaded_by_its_own_means(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    kind = diffusers.StableDiffusionInstructPix2PixPipeline
    asked: list[str] = []
    monkeypatch.setattr(kind, "enable_model_cpu_offload", lambda self, device: asked.append(device))
    loaded = load_pipeline(kind.__name__, pipeline, "cpu", "offloaded")
    assert asked == ["cpu"] and loaded.vae.use_tiling and loaded.vae.use_slicing
    assert not load_pipeline(kind.__name__, pipeline, "cpu", "full").vae.use_tiling
