"""Other projects' quirks have the size that their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from emo_bench.metrics import score
from emo_bench.metrics.detectors import Face
from emo_bench.metrics.quirks import LPIPSFedUnitRange, NativeFLMD, NativeLMD, NativeMouthLMD
from emo_bench.perceptual import PerceptualDistance

RNG = np.random.default_rng(1)
FRAMES = RNG.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def test_epsilon_caps_identical_frames_and_changes_nothing_else() -> None:
    assert score(FRAMES, FRAMES, metrics=("psnr-eps",))["psnr-eps"].tolist() == [160.0] * 3
    expected = [peak_signal_noise_ratio(b, a) for a, b in zip(FRAMES, OTHER, strict=True)]
    np.testing.assert_allclose(score(FRAMES, OTHER, metrics=("psnr-eps",))["psnr-eps"], expected, atol=1e-5)


def test_the_network_sees_unit_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that reports its input shows what the quirk feeds it."""
    metric = LPIPSFedUnitRange.__new__(LPIPSFedUnitRange)
    metric.device = "cpu"
    seen: list[torch.Tensor] = []

    def network(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.extend((a, b))
        return torch.zeros(len(a))

    monkeypatch.setattr(metric, "_network", network, raising=False)
    metric.score(FRAMES, OTHER)
    torch.testing.assert_close(seen[0], torch.from_numpy(FRAMES).permute(0, 3, 1, 2) / 255.0)
    torch.testing.assert_close(seen[1], torch.from_numpy(OTHER).permute(0, 3, 1, 2) / 255.0)


def test_missing_weights_are_said_and_not_replaced() -> None:
    if LPIPSFedUnitRange.missing() is None:
        assert isinstance(LPIPSFedUnitRange()._network, PerceptualDistance)
        return
    table = score(FRAMES, OTHER, metrics=("lpips-01",))
    assert table["lpips-01"].isna().all()
    assert "lpips" in table.attrs["records"]["lpips-01"]["backend"]["detail"]


class Written:
    """Reports landmarks written into the frame's first pixels: a shift and a scale of a fixed face."""

    name = "written"

    def detect(self, frame_u8: np.ndarray) -> Face:
        angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        shape = 10.0 * np.stack((np.cos(angle), np.sin(angle)), axis=1) + 32.0
        return Face((shape + float(frame_u8[0, 0, 0])).astype(np.float32))


def test_native_distances_do_not_scale_and_centring_hides_a_shift() -> None:
    reference = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    moved = reference.copy()
    moved[0, 0, 0] = 3
    for cls, expected in ((NativeFLMD, 3.0 * np.sqrt(2)), (NativeLMD, 0.0), (NativeMouthLMD, 0.0)):
        assert cls(detector=Written()).score(moved, reference)[0] == pytest.approx(expected, abs=1e-4)
