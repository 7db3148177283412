"""StyleAvatar: wavelets, published shapes, the window, the switch of the perceptual loss, and that it learns and goes
on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from baselines.style_avatar.avatar import DrivingBatch, StyleAvatarModel
from baselines.style_avatar.config import PROFILES, StyleAvatarConfig
from baselines.style_avatar.driving import moved, window_shifts, windowed
from baselines.style_avatar.fitting import StyleAvatarFit
from baselines.style_avatar.method import StyleAvatar
from baselines.style_avatar.networks import time_code
from baselines.style_avatar.wavelet import haar, inverse_haar
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace

TRAIN = [0, 40, 80, 120]


def method(folder: Path, **settings: str) -> StyleAvatar:
    folder.mkdir(exist_ok=True)
    return StyleAvatar(Workspace(folder, "smoke", seed=1, settings=settings))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.sampled_from((2, 4, 8)))
def test_haar_is_orthonormal_and_inverts(seed: int, channels: int, side: int) -> None:
    x = torch.randn(2, channels, side, 2 * side, generator=torch.Generator().manual_seed(seed))
    bands = haar(x)
    torch.testing.assert_close(inverse_haar(bands), x)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())


def test_haar_is_the_hadamard_matrix_of_each_two_by_two_block() -> None:
    x = torch.randn(1, 1, 6, 6)
    blocks = x.numpy().reshape(3, 2, 3, 2).transpose(0, 2, 1, 3)
    matrix = hadamard(2) / np.sqrt(2)
    expected = np.einsum("ij,rcjk,lk->ilrc", matrix, blocks, matrix).reshape(4, 3, 3)
    # Rows of the matrix: mean, difference; bands: mean, row, column, diagonal detail.
    np.testing.assert_allclose(haar(x)[0].numpy(), expected[[0, 2, 1, 3]], atol=1e-6)


def test_the_published_model_has_the_published_shape() -> None:
    config = StyleAvatarConfig(**PROFILES["paper"])
    assert (config.feature_px, config.wavelet_px) == (128, 512)
    with torch.device("meta"):
        model = StyleAvatarModel(config)
    for generator in (model.face, model.background):
        assert [layer.resolution for layer in generator.layers] == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
        assert generator.exit.weight.shape == (256, 256, 1, 1)
    assert model.first.sizes == [8, 16, 32, 64, 128]
    assert model.second.sizes == [8, 16, 32, 64, 128, 256, 512]
    assert [model.second.to_bands[str(size)].weight.shape[0] for size in model.second.sizes] == [12] * 7
    # A decoder without a learned constant; its style has 64 numbers, mapped by 4 layers.
    assert not [name for name, _ in model.second.named_parameters() if "const" in name]
    assert len(model.mapping.layers) == 4 and model.mapping.layers[0].weight.shape == (64, 64)


def test_pictures_are_four_times_as_large_as_the_rendering_in_the_published_ratio() -> None:
    """The published sizes over eight, narrow."""
    small = {"resolution_px": 128, "input_px": 32, "texture_px": 16, "background_px": 16, "feature_channels": 4}
    config = StyleAvatarConfig(**{**PROFILES["paper"], **small, "channel_base": 64, "channel_max": 8})
    model = StyleAvatarModel(config)
    batch = DrivingBatch(
        torch.zeros(2, 3, 32, 32),
        torch.rand(2, 16, 16, 2),
        torch.ones(2, 1, 16, 16),
        torch.tensor([0, 9]),
        torch.zeros(2, 2),
    )
    image, opacity = model(batch, model.textures())
    assert image.shape == (2, 3, 128, 128) and opacity.shape == (2, 1, 16, 16)
    assert opacity.min() >= 0 and opacity.max() <= 1


def test_time_codes_are_the_numbers_sines() -> None:
    codes = time_code(torch.tensor([0, 1250, 5000]), 5000, 64)
    assert codes.shape == (3, 64)
    np.testing.assert_allclose(codes[0], [0.0] * 32 + [1.0] * 32)
    # The slowest sine has one period in the span.
    np.testing.assert_allclose(codes[:, 0], [0.0, 1.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(codes[:, 32], [1.0, 0.0, 1.0], atol=1e-5)


def test_the_window_slides_on_even_steps_and_moves_pictures_and_signals_alike() -> None:
    config = StyleAvatarConfig()
    drawn = np.concatenate([window_shifts(np.random.default_rng(i), 64, 2 * i, config) for i in range(40)])
    assert drawn.std() == pytest.approx(config.feature_px / 24, rel=0.05) and abs(drawn.mean()) < 0.15
    assert not window_shifts(np.random.default_rng(0), 8, 1, config).any()
    shifts = np.array([[1, 0], [-2, 3]])
    pictures = torch.randn(2, 3, 32, 32)
    cut = windowed(pictures, shifts, 16, "constant")
    torch.testing.assert_close(cut[0, :, :, :-2], pictures[0, :, :, 2:])
    torch.testing.assert_close(cut[1, :, :-6, 4:], pictures[1, :, 6:, :-4])
    assert (cut[1, :, -6:] == 0).all() and (cut[1, :, :, :4] == 0).all()
    batch = DrivingBatch(
        pictures, torch.rand(2, 16, 16, 2), torch.ones(2, 1, 16, 16), torch.zeros(2), torch.zeros(2, 2)
    )
    there = moved(batch, shifts, 16)
    torch.testing.assert_close(there.uv[1, :-3, 2:], batch.uv[1, 3:, :-2])
    assert (there.rendering[1, :, -6:] == -1).all() and (there.surface[1, :, -3:] == 0).all()
    torch.testing.assert_close(there.shift, torch.tensor([[1 / 16, 0.0], [-2 / 16, 3 / 16]]))


def test_the_background_stays_where_it_is_when_the_window_slides() -> None:
    model = StyleAvatarModel(StyleAvatarConfig(**PROFILES["smoke"]))
    side = model.config.feature_px
    still, slid = (model._background_grid(torch.tensor([[x / side, 0.0]])) for x in (0, 3))
    torch.testing.assert_close(slid[0, :, :-3], still[0, :, 3:])
    assert slid.abs().max() < 1


@pytest.mark.parametrize("which", ["published", "released"])
def test_as_released_the_perceptual_loss_moves_nothing(tmp_path: Path, which: str) -> None:
    """Against a fit without that loss, which is bit for bit the same if and only if it has no gradient."""
    capture = actors.load("1").restricted(TRAIN)
    few = {"steps": "3", "gan_weight": "0"}
    method(tmp_path / "with", perceptual_gradient=which, **few).fit(capture, TRAIN)
    method(tmp_path / "without", perceptual_weight="0", **few).fit(capture, TRAIN)
    with_it, without = (torch.load(tmp_path / name / "train.pt")["model"] for name in ("with", "without"))
    same = all(torch.equal(with_it[name], without[name]) for name in with_it)
    assert same == (which == "released")
    logged = (tmp_path / "with" / "train.csv").read_text().splitlines()[0]
    assert "perceptual" in logged


def test_it_learns_four_frames(tmp_path: Path) -> None:
    capture = actors.load("1").restricted(TRAIN)
    wider = {"feature_channels": "16", "channel_base": "512", "channel_max": "32", "freeze_step": "1000"}
    l1_alone = {"gan_weight": "0", "perceptual_weight": "0", "sliding_window": "0"}
    overfit = method(tmp_path, steps="150", batch="4", **wider, **l1_alone)
    overfit.fit(capture, TRAIN)
    truth = np.stack(list(capture.frames(TRAIN, size=64))).astype(float)
    ours = np.stack(list(overfit.render(capture.restricted(()), TRAIN)))
    psnr = -10 * np.log10((((ours - truth) / 255) ** 2).mean())
    mean = -10 * np.log10((((truth.mean(axis=0) - truth) / 255) ** 2).mean())
    assert psnr > mean + 1.5


def test_killed_it_goes_on_to_the_same_avatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = actors.load("1").restricted(TRAIN)
    # The cut lies behind the step from which textures stay, and before a step with R1.
    few = {"steps": "9", "checkpoint_every_steps": "3", "freeze_step": "4", "r1_every": "4"}
    method(tmp_path / "whole", **few).fit(capture, TRAIN)
    step = StyleAvatarFit.run_step

    def dies(self: StyleAvatarFit) -> dict[str, float]:
        if self.step == 7:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(StyleAvatarFit, "run_step", dies)
        with pytest.raises(KeyboardInterrupt):
            method(tmp_path / "cut", **few).fit(capture, TRAIN)
    method(tmp_path / "cut", **few).fit(capture, TRAIN)
    for name in ("checkpoint.safetensors", "train.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [("resolution_px", "96", "power of two"), ("input_px", "128", "input_px"), ("perceptual", "x", "choose one")],
)
def test_wrong_settings_are_one_clear_line(tmp_path: Path, setting: str, value: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        method(tmp_path, **{setting: value})


def test_widths_leave_a_channel_at_every_size(tmp_path: Path) -> None:
    for setting in ("channel_base", "discriminator_base"):
        with pytest.raises(UserError, match=f"{setting}=64 leaves no channel at 128 px"):
            method(tmp_path, resolution_px="256", **{setting: "64"})
