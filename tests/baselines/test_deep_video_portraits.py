"""Deep Video Portraits: the published shapes, the conditioning volume, and that it learns and goes on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from baselines.deep_video_portraits.conditioning import CHANNELS, EYES, Conditioning, gaze_map
from baselines.deep_video_portraits.config import PROFILES, DeepVideoPortraitsConfig
from baselines.deep_video_portraits.fitting import DeepVideoPortraitsFit
from baselines.deep_video_portraits.method import DeepVideoPortraits
from baselines.deep_video_portraits.networks import PatchCritic, TranslationNetwork, level_widths
from baselines.head_render import HeadLook, HeadSurface, fit_look, last_with_face, shaded
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace

TRAIN = [0, 40, 80, 120]


def method(folder: Path, **settings: str) -> DeepVideoPortraits:
    folder.mkdir(exist_ok=True)
    return DeepVideoPortraits(Workspace(folder, "smoke", seed=1, settings=settings))


def test_the_published_network_has_the_published_shape() -> None:
    config = DeepVideoPortraitsConfig(**PROFILES["paper"])
    widths = level_widths(config.width, config.max_width, config.depth)
    assert widths == (64, 128, 256, 512, 512, 512, 512, 512)
    with torch.device("meta"):
        network = TranslationNetwork(CHANNELS * config.window, widths, config.last_width, config.dropout)
        critic = PatchCritic(3 + CHANNELS * config.discriminator_window, config.discriminator_width)
        assert network(torch.empty(2, 99, 256, 256)).shape == (2, 3, 256, 256)
        # Patches of 70 px: 30 a side at 256 px.
        assert critic(torch.empty(2, 3, 256, 256), torch.empty(2, 99, 256, 256)).shape == (2, 1, 30, 30)
    ins, norm = (99, *widths[:-1]), 2
    expected = sum(a * b * 16 + norm * b for a, b in zip(ins, widths, strict=True))
    below = 512
    for width in (512, 512, 512, 512, 256, 128, 64):
        expected += below * width * 16 + 2 * width * width * 9 + width * width * 9 + 3 * norm * width
        below = width
    expected += 64 * 64 * 16 + 64 * 64 * 9 + 2 * norm * 64 + 64 * 3 * 9 + 3
    assert sum(p.numel() for p in network.parameters()) == expected
    assert sum(isinstance(m, torch.nn.Dropout) for m in network.modules()) == 3


def test_windows_end_with_the_current_frame_and_repeat_the_first() -> None:
    track = actors.load("1").track
    look = HeadLook(np.full((8, 8, 3), 0.5, np.float32), np.eye(9, dtype=np.float32)[0])
    conditioning = Conditioning(track, look, 32, 11)
    assert conditioning.window_of(3) == [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
    assert conditioning.window_of(700) == list(range(690, 701))
    volume = conditioning.batch([20])
    assert volume.shape == (1, 99, 32, 32)
    assert torch.equal(volume[0, -9:], conditioning.batch([20, 21])[1, -18:-9])
    uv, mask = track.uv(20, 32)
    seen = (volume[0, -6:-3].permute(1, 2, 0).numpy() + 1) / 2
    assert np.abs(seen[..., :2][mask] - uv[mask]).max() < 0.5 / 255 + 1e-3
    np.testing.assert_array_equal(seen[..., 2] > 0.5, mask)


def test_a_frame_without_a_face_shows_the_one_before() -> None:
    found = np.array([False, False, True, True, False, False, True])
    assert last_with_face(found).tolist() == [2, 2, 2, 3, 3, 3, 6]


def test_gaze_maps_are_blue_in_the_iris_white_around_it_black_elsewhere() -> None:
    landmarks = actors.load("1").track.landmarks478[0] * 4.0
    picture = gaze_map(landmarks, 1024)
    everywhere = np.zeros((1024, 1024), np.uint8)
    for opening, iris, rim in EYES:
        outline = np.rint(landmarks[list(opening)]).astype(np.int32)
        cv2.fillPoly(everywhere, [outline], 1)
        x, y = np.floor(landmarks[iris]).astype(int)
        assert picture[y, x].tolist() == [0, 0, 255]
        radius = np.linalg.norm(landmarks[list(rim)] - landmarks[iris], axis=1).mean()
        rows, columns = np.nonzero(cv2.erode(everywhere, np.ones((5, 5))))
        apart = np.hypot(columns - landmarks[iris][0], rows - landmarks[iris][1])
        near_this = (apart > radius + 3) & (apart < 3 * radius)
        assert near_this.any() and (picture[rows[near_this], columns[near_this]] == 255).all()
    outside = cv2.dilate(everywhere, np.ones((7, 7))) == 0
    assert picture[outside].max() == 0


def test_the_rendering_is_the_person_under_their_light() -> None:
    """Held-out frames of a studio actor, whose track is exact, within the surface."""
    capture = actors.load("1")
    look = fit_look(capture.restricted(range(400)), list(range(0, 400, 20)), 64, 64, 20)
    assert (look.texture >= 0).all() and (look.texture <= 1).all()
    surfaces = HeadSurface(capture.track, 64)
    psnr = []
    for index, frame in zip((450, 900), capture.frames((450, 900), size=64), strict=True):
        surface = surfaces.at(index)
        np.testing.assert_allclose(np.linalg.norm(surface.normal[surface.mask], axis=1), 1.0, atol=1e-5)
        error = (shaded(look, surface).astype(float) - frame)[surface.mask] / 255
        psnr.append(-10 * np.log10(np.mean(error**2)))
    assert min(psnr) > 20


def test_it_learns_four_frames(tmp_path: Path) -> None:
    capture = actors.load("1").restricted(TRAIN)
    overfit = method(tmp_path, steps="150", dropout="0", batch="4", lr="0.004", gan_weight="0.1")
    overfit.fit(capture, TRAIN)
    truth = np.stack(list(capture.frames(TRAIN, size=32))).astype(float)
    ours = np.stack(list(overfit.render(capture.restricted(()), TRAIN)))
    psnr = -10 * np.log10((((ours - truth) / 255) ** 2).mean())
    mean = -10 * np.log10((((truth.mean(axis=0) - truth) / 255) ** 2).mean())
    assert psnr > mean + 4


def test_killed_it_goes_on_to_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = actors.load("1").restricted(TRAIN)
    settings = {"steps": "8", "checkpoint_every_steps": "3"}
    method(tmp_path / "whole", **settings).fit(capture, TRAIN)
    step = DeepVideoPortraitsFit.run_step

    def dies(self: DeepVideoPortraitsFit) -> dict[str, float]:
        if self.step == 5:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(DeepVideoPortraitsFit, "run_step", dies)
        with pytest.raises(KeyboardInterrupt):
            method(tmp_path / "cut", **settings).fit(capture, TRAIN)
    method(tmp_path / "cut", **settings).fit(capture, TRAIN)
    for name in ("checkpoint.safetensors", "train.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [("resolution_px", "48", "power of two"), ("levels", "9", "levels"), ("widht", "3", "no setting")],
)
def test_wrong_settings_are_one_clear_line(tmp_path: Path, setting: str, value: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        method(tmp_path, **{setting: value})
