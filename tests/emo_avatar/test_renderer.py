"""The avatar around StyleGAN: identity at the start, what trains, placement, and the render stage's laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from emo_avatar.config import EmoAvatarConfig, resolve_config
from emo_avatar.driving import (
    DrivingSignals,
    WeightedFrames,
    feature_weights,
    filled_forward,
    frame_to_aligned,
    mouth_boxes,
    pivot_weights,
)
from emo_avatar.prior import fit_resolution
from emo_avatar.render_stage import RenderStage, enlarged, trainable
from emo_avatar.renderer import AvatarRenderer, DrivingBatch
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.errors import UserError

SIZE = 32


class SyntheticTrack:
    """A disc whose place and colour follow the frame number; stands in for a capture's track."""

    def __init__(self, frames: int) -> None:
        rng = np.random.default_rng(0)
        self.size_px = 64
        self.expression = rng.random((frames, 52)).astype(np.float32)
        angle = np.linspace(0, 6.28, frames)
        self.centers = 32 + 10 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
        template = rng.uniform(-8, 8, (68, 2))
        template[36:42] += (-8, -6)
        template[42:48] += (8, -6)
        template[48:68] += (0, 10)
        self.landmarks68 = (self.centers[:, None] + template[None]).astype(np.float32)

    def yaw_pitch_deg(self) -> np.ndarray:
        return (self.centers - 32).astype(np.float32)

    def uv(self, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        grid = (np.arange(size) + 0.5) * self.size_px / size
        offset = np.stack(np.meshgrid(grid, grid), axis=-1) - self.centers[index]
        mask = (offset**2).sum(axis=-1) < 15**2
        return (np.clip(offset / 30 + 0.5, 0, 1) * mask[..., None]).astype(np.float16), mask


class SyntheticCapture:
    """Frames painted from the synthetic track's UV map."""

    def __init__(self, frames: int = 24) -> None:
        self.track = SyntheticTrack(frames)
        self.size_px = 64

    def frames(self, indices: Any, size: int | None = None) -> Any:
        for index in indices:
            uv, mask = self.track.uv(int(index), size or self.size_px)
            colour = np.concatenate((uv.astype(np.float32), 1 - uv[..., :1].astype(np.float32)), axis=-1)
            yield np.where(mask[..., None], 255 * colour, 40).astype(np.uint8)


def small_config(**changes: Any) -> EmoAvatarConfig:
    values: dict[str, Any] = {
        "resolution_px": SIZE, "texture_px": 32, "texture_levels": 2, "flow_px": 64,
        "flow_widths": (8, 8, 8, 8, 8), "motion_width": 16, "encoder_width": 8, "encoder_max_width": 16,
        "skip_resolutions": (8, 16, 32), "steps": 8, "batch": 2, "gan_start_step": 2, "discriminator_width": 8,
        "bf16": False, "max_train_frames": 16, "feature_weight": 1.0,
    }  # fmt: skip
    return EmoAvatarConfig(**{**values, **changes})


def small_avatar(config: EmoAvatarConfig) -> AvatarRenderer:
    torch.manual_seed(0)
    generator = Generator(
        GeneratorConfig(
            img_resolution=SIZE, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, use_noise=False
        )
    )
    return AvatarRenderer(config, generator, generator.mapping(torch.randn(4, 8)).detach(), torch.zeros(3, SIZE, SIZE))


def small_stage(config: EmoAvatarConfig, seed: int = 3) -> RenderStage:
    capture: Any = SyntheticCapture()
    signals = DrivingSignals(capture, config, np.zeros((4, 2), np.float32))
    frames = WeightedFrames(capture, range(24), config)
    return RenderStage(
        small_avatar(config), frames, signals, config, lambda a, b: (a - b).square().mean((1, 2, 3)), seed
    )


def driving(config: EmoAvatarConfig, count: int = 2) -> DrivingBatch:
    capture: Any = SyntheticCapture()
    return DrivingSignals(capture, config, np.zeros((4, 2), np.float32)).batch(range(count))


def test_an_untrained_avatar_is_nearly_its_stylegan() -> None:
    config = small_config(placement="none")
    avatar, batch = small_avatar(config), driving(config)
    alone = avatar.generator.synthesis(avatar.pivots.mean(dim=0, keepdim=True), noise_mode="const")
    gap = (avatar(batch).image - alone).abs().mean()
    assert gap < 0.1 * alone.std()


def test_without_its_encoder_warp_placement_moves_the_head_by_the_affine_map() -> None:
    config = small_config(placement="warp", skip_resolutions=(32,))
    avatar, batch = small_avatar(config), driving(config)
    with torch.no_grad():
        for fuse in avatar.fusion.fuse.values():
            torch.nn.init.dirac_(fuse.weight)
    alone = avatar.generator.synthesis(avatar.pivots.mean(dim=0, keepdim=True)).expand(2, -1, -1, -1)
    grid = F.affine_grid(batch.grid_affine, list(alone.shape), align_corners=False)
    expected = F.grid_sample(alone, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(avatar(batch).image, expected, atol=1e-3, rtol=1e-3)


def test_the_affine_map_takes_the_quad_of_the_head_to_the_square() -> None:
    from emo_avatar.alignment import ffhq_quad

    track = SyntheticTrack(5)
    maps = frame_to_aligned(track.landmarks68, track.size_px)
    corners = 2 * ffhq_quad(track.landmarks68[3]) / track.size_px - 1
    aligned = corners @ maps[3, :, :2].T + maps[3, :, 2]
    np.testing.assert_allclose(aligned, [[-1, -1], [-1, 1], [1, 1], [1, -1]], atol=1e-4)


def test_only_what_the_paper_trains_changes_and_stylegan_stays_frozen() -> None:
    stage = small_stage(small_config())
    before = {name: p.detach().clone() for name, p in stage.avatar.named_parameters()}
    for _ in range(4):
        stage.run_step()
    changed = {name for name, p in stage.avatar.named_parameters() if not torch.equal(p, before[name])}
    assert not any(name.startswith("generator.") for name in changed)
    assert {name.split(".")[0] for name in changed} == {"texture", "flow", "encoder", "fusion"}


def test_ne_avatar_trains_stylegan_too() -> None:
    stage = small_stage(small_config(freeze_stylegan=False))
    before = stage.avatar.generator.synthesis.b8.conv1.weight.detach().clone()
    stage.run_step()
    assert not torch.equal(before, stage.avatar.generator.synthesis.b8.conv1.weight)


def test_training_learns() -> None:
    stage = small_stage(small_config(steps=60, lr=5e-3))
    losses = [stage.run_step()["l1"] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_resuming_equals_not_stopping(stop_after: int, tmp_path: Any) -> None:
    from emo_bench.methods.training.state_file import load_state, save_state

    config = small_config()
    whole = small_stage(config)
    for _ in range(8):
        whole.run_step()
    first = small_stage(config)
    for _ in range(stop_after):
        first.run_step()
    save_state(tmp_path / "render.pt", first.state())
    second = small_stage(config)
    state = load_state(tmp_path / "render.pt")
    assert state is not None
    second.restore(state)
    while second.step < 8:
        second.run_step()
    for (name, a), (_, b) in zip(
        whole.averaged_avatar().state_dict().items(), second.averaged_avatar().state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def test_a_loss_that_is_not_finite_stops_and_changes_nothing() -> None:
    stage = small_stage(small_config())
    stage.run_step()
    with torch.no_grad():
        stage.avatar.texture.levels[0].fill_(float("nan"))
    before = {name: p.detach().clone() for name, p in trainable(stage.avatar).items()}
    with pytest.raises(UserError, match=r"step 1.*not finite.*last good checkpoint"):
        stage.run_step()
    for name, parameter in trainable(stage.avatar).items():
        assert torch.equal(parameter.nan_to_num(), before[name].nan_to_num())


def test_feature_weights_peak_at_mouth_and_eyes() -> None:
    landmarks = torch.tensor(SyntheticTrack(1).landmarks68)
    weights = feature_weights(landmarks, 64, 4.0)[0, 0]
    x, y = landmarks[0, 48:68].mean(dim=0).long()
    assert weights[y, x] > 4.0
    assert abs(float(weights[0, 0]) - 1.0) < 1e-3


def test_mouth_boxes_are_squares_around_the_lips() -> None:
    landmarks = torch.tensor(SyntheticTrack(2).landmarks68)
    landmarks[1] = torch.nan
    boxes = mouth_boxes(landmarks)
    lips = landmarks[0, 48:68]
    assert (boxes[0, :2] < lips.amin(dim=0)).all() and (boxes[0, 2:] > lips.amax(dim=0)).all()
    torch.testing.assert_close(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    torch.testing.assert_close((boxes[0, :2] + boxes[0, 2:]) / 2, (lips.amin(dim=0) + lips.amax(dim=0)) / 2)
    assert torch.isfinite(boxes).all()


def test_the_mouth_is_cut_out_and_enlarged_with_gradients() -> None:
    ramp = torch.linspace(-1.0, 1.0, 64).expand(2, 3, 64, 64).clone().requires_grad_()
    boxes = torch.tensor([[16.0, 20.0, 32.0, 36.0], [40.0, 8.0, 56.0, 24.0]])
    large = enlarged(ramp, boxes, 32)
    assert large.shape == (2, 3, 32, 32)
    centers = (torch.arange(32) + 0.5) / 2 - 0.5
    for i, left in enumerate((16.0, 40.0)):
        expected = -1.0 + 2.0 * (left + centers) / 63.0
        torch.testing.assert_close(large[i, 0, 5], expected, atol=1e-5, rtol=0.0)
    large.sum().backward()
    inside = torch.zeros(64, dtype=torch.bool)
    inside[19:37] = True
    assert ramp.grad is not None
    assert ramp.grad[0, 0, ~inside].abs().max() == 0.0 and ramp.grad[0, 0, 25, 20] > 0.0


def test_pose_weights_prefer_the_nearest_pivot_and_mean_weights_are_equal() -> None:
    pivots = np.array([[-30, 0], [30, 0], [0, -15], [0, 15]], np.float32)
    assert (pivot_weights(pivots, pivots, "pose").argmax(axis=1) == np.arange(4)).all()
    np.testing.assert_allclose(pivot_weights(pivots, pivots, "mean"), 0.25)


def test_settings_reach_every_kind_of_field_and_mistakes_are_one_line() -> None:
    config = resolve_config("cpu", {"lr": "1e-3", "skip_resolutions": "8,16", "bf16": "false", "flow_mode": "warp"})
    assert (config.lr, config.skip_resolutions, config.bf16, config.flow_mode) == (1e-3, (8, 16), False, "warp")
    assert resolve_config("cpu", {"preset": "literal"}).feature_weight == 0
    for profile, settings, words in (
        ("cpu", {"nonsense": "1"}, "nonsense"),
        ("cpu", {"steps": "many"}, "steps"),
        ("huge", {}, "profile"),
        ("cpu", {"expression_window": "4"}, "odd"),
        ("cpu", {"skip_resolutions": "12"}, "not a power of two"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            resolve_config(profile, settings)
        assert "\n" not in str(caught.value)


def test_frames_without_a_face_lend_their_predecessor_to_windows() -> None:
    values = np.array([[np.nan], [1.0], [np.nan], [3.0]])
    assert filled_forward(values).ravel().tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_prior_is_cut_and_grown_to_another_size(size: int) -> None:
    torch.manual_seed(0)
    shape = GeneratorConfig(img_resolution=64, z_dim=8, w_dim=8, mapping_layers=2, channel_base=512, channel_max=16)
    prior = Generator(shape)
    w = prior.mapping(torch.randn(1, 8))[:, :1]
    fitted = fit_resolution(prior, size)
    image = fitted.synthesis(w.expand(-1, fitted.config.num_ws, -1))
    whole = prior.synthesis(w.expand(-1, prior.config.num_ws, -1))
    assert image.shape[-1] == size
    if size >= 64:
        torch.testing.assert_close(F.interpolate(image, size=(64, 64), mode="area"), whole, atol=0.5, rtol=0.2)
    for name, tensor in fitted.state_dict().items():
        if name in prior.state_dict():
            assert torch.equal(tensor, prior.state_dict()[name]), name
