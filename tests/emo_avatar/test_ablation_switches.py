"""The switches of the ablations: which frames are inverted, how they are cut, what is frozen, what an init reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.config import EmoAvatarConfig, resolve_config
from emo_avatar.initialization import INIT_FIELDS, Initialization, initialize, interpolated, pivot_frames
from emo_avatar.inversion import extreme_frames, random_frames
from emo_avatar.render_stage import trainable
from emo_avatar.renderer import AvatarRenderer
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.state_file import load_state
from protocols.ablation import load_ablation

TRAIN = list(range(0, 200, 10))
QUICK = {
    "resolution_px": "32",
    "projection_steps": "2",
    "tuning_steps": "1",
    "skip_resolutions": "8,16,32",
    "bf16": "false",
    "texture_px": "32",
    "flow_widths": "8,8,8,8,8",
}


def tiny_generator() -> Generator:
    torch.manual_seed(0)
    shape = GeneratorConfig(
        img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, use_noise=False
    )
    return Generator(shape)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_stylegan2(path, tiny_generator())
    return str(path)


def config_of(prior: str, **changes: str) -> EmoAvatarConfig:
    return resolve_config("smoke", {**QUICK, "prior": prior, **changes})


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


def init(config: EmoAvatarConfig, folder: Path, seed: int = 0) -> Initialization:
    folder.mkdir(exist_ok=True)
    return initialize(actors.load("1"), TRAIN, config, Workspace(folder, "smoke", seed), distance)


@given(count=st.integers(2, 24), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_many_extreme_frames_are_different_and_begin_with_the_papers_four(count: int, seed: int) -> None:
    poses = np.random.default_rng(seed).normal(size=(40, 2)) * (20, 8)
    chosen = extreme_frames(poses, range(40), count)
    assert len(set(chosen)) == count
    assert set(extreme_frames(poses, range(40), 4)[:count]) <= set(chosen)
    assert chosen[:2] == [int(poses[:, 0].argmin()), int(poses[:, 0].argmax())]


def test_many_extreme_frames_lie_on_the_rim_of_the_poses() -> None:
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rim = np.stack([30 * np.cos(turns), 10 * np.sin(turns)], axis=1)
    inner = np.random.default_rng(0).uniform(-0.5, 0.5, size=(60, 2)) * (30, 10)
    poses = np.concatenate([inner, rim])
    assert set(extreme_frames(poses, range(72), 12)) == set(range(60, 72))


def test_random_frames_follow_the_seed_and_pass_over_frames_without_a_pose() -> None:
    poses = np.zeros((50, 2))
    poses[::2] = np.nan
    drawn = [random_frames(poses, range(50), 4, seed) for seed in range(20)]
    assert all(len(set(frames)) == 4 and all(i % 2 for i in frames) for frames in drawn)
    assert drawn[0] == random_frames(poses, range(50), 4, 0)
    assert len({tuple(frames) for frames in drawn}) > 10
    with pytest.raises(UserError, match="only 25 training frames"):
        random_frames(poses, range(50), 26, 0)


def test_pivots_are_the_frames_asked_for(prior: str, tmp_path: Path) -> None:
    poses = actors.load("1").track.yaw_pitch_deg()
    one = init(config_of(prior, pivot_choice="random", pivot_count="1"), tmp_path / "one", seed=3)
    many = init(config_of(prior, pivot_count="12"), tmp_path / "many")
    assert one.pivots.shape[0] == 1 and one.frame_indices[0] in TRAIN
    assert len(set(many.frame_indices)) == 12 and set(many.frame_indices) <= set(TRAIN)
    yaw = poses[TRAIN, 0]
    assert {TRAIN[int(yaw.argmin())], TRAIN[int(yaw.argmax())]} <= set(many.frame_indices)
    assert not (tmp_path / "one" / "interpolation.png").exists(), "one pivot has no line to another"
    with Image.open(tmp_path / "many" / "interpolation.png") as sheet:
        assert sheet.size == (9 * 32, 32)


def test_unaligned_inversion_takes_the_frames_as_they_are(prior: str, tmp_path: Path) -> None:
    capture = actors.load("1")
    config = config_of(prior, inversion_crop="frame", placement="none")
    found = init(config, tmp_path / "frame")
    with Image.open(tmp_path / "frame" / "init.png") as sheet:
        targets = np.asarray(sheet)[:32]
    frames = np.concatenate(list(capture.frames(found.frame_indices.tolist(), size=32)), axis=1)
    np.testing.assert_array_equal(targets, frames)
    init(config_of(prior), tmp_path / "aligned")
    with Image.open(tmp_path / "aligned" / "init.png") as sheet:
        assert np.abs(np.asarray(sheet)[:32].astype(int) - frames).mean() > 5


def test_interpolation_ends_at_the_pivots() -> None:
    generator = tiny_generator()
    ends = generator.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(1))).detach()
    line = interpolated(generator, ends, 5)
    with torch.no_grad():
        own = ((generator.synthesis(ends).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(line[[0, -1]], own)
    assert (line[2] != line[0]).any() and (line[2] != line[-1]).any()


class _Recorded:
    """Notes which fields of a config are read."""

    def __init__(self, config: EmoAvatarConfig) -> None:
        self._config, self.read = config, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._config, name)


def test_the_init_reads_no_field_but_those_of_its_key(prior: str, tmp_path: Path) -> None:
    """`perceptual` and `max_train_frames` are used by the fit, before it; the prior's weights are in the key by
    hash.
    """
    recorded = _Recorded(config_of(prior))
    init(recorded, tmp_path / "init")  # type: ignore[arg-type]
    assert recorded.read == set(INIT_FIELDS) - {"perceptual", "max_train_frames"} | {"prior"}


def test_a_finished_init_is_not_run_again(prior: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = init(config_of(prior), tmp_path / "init")
    state = load_state(tmp_path / "init" / "init.pt")
    assert state is not None and state["done"] == 3

    def refuse(*_: Any) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr("emo_avatar.inversion._Run.step", refuse)
    again = init(config_of(prior), tmp_path / "init")
    assert torch.equal(first.pivots, again.pivots)
    for (name, a), b in zip(first.generator.state_dict().items(), again.generator.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("variant", load_ablation().variant, ids=lambda variant: variant.name)
@pytest.mark.parametrize("profile", ["smoke", "cpu", "paper"])
def test_every_variant_is_a_valid_configuration_that_differs_from_ours(variant: Any, profile: str) -> None:
    ours = resolve_config(profile, {})
    config = resolve_config(profile, variant.settings_of(profile))
    same_fit = variant.name in ("ours", "without-patch", "ours-in2n")
    assert (config == ours) == same_fit
    changed = {name for name in EmoAvatarConfig.model_fields if getattr(config, name) != getattr(ours, name)}
    assert changed == set(variant.settings_of(profile)), "each setting changes what it names, and nothing else"


def test_ne_avatar_trains_stylegan_and_ours_does_not(prior: str) -> None:
    made = {
        frozen: AvatarRenderer(
            config_of(prior, freeze_stylegan=frozen), tiny_generator(), torch.zeros(4, 8, 8), torch.zeros(3, 32, 32)
        )
        for frozen in ("true", "false")
    }
    names = {frozen: set(trainable(avatar)) for frozen, avatar in made.items()}
    stylegan = {name for name in names["false"] if name.startswith("generator.synthesis.")}
    assert stylegan and not any(name.startswith("generator.") for name in names["true"])
    assert names["false"] - names["true"] >= stylegan
    assert {name.split(".")[0] for name in names["true"]} == {"texture", "flow", "encoder", "fusion"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pivot_count": "1"}, "extreme poses are at least two"),
        ({"inversion_crop": "frame"}, "add --set placement=none"),
        ({"pivot_count": "0"}, "pivot_count"),
        ({"pivot_choice": "best"}, "pivot_choice"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_config("smoke", changes)


def test_pivot_frames_stay_those_of_the_paper_by_default(prior: str) -> None:
    poses = actors.load("1").track.yaw_pitch_deg()
    frames = pivot_frames(poses, TRAIN, config_of(prior), seed=7)
    assert frames.tolist() == sorted(extreme_frames(poses, TRAIN))
