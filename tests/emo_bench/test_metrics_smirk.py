"""AED and APD by SMIRK: its crop against scikit-image's own fit, and its encoders with random weights from timm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.transform import estimate_transform, warp
from torch.nn import functional

from emo_bench.assets import location
from emo_bench.errors import UserError
from emo_bench.metrics import regressed, smirk
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import Face, open_detector
from emo_bench.metrics.smirk import Smirk, SmirkExpression, SmirkPose, aligned

timm = pytest.importorskip("timm")
BOX = np.array([40.5, 60.5, 140.5, 180.5], np.float32)


def test_the_crop_is_a_square_around_the_box() -> None:
    """100 and 120 px wide: the square has 1.4 times the mean, 154 px, around (90, 120) where pixels count from 0."""
    frame = np.random.default_rng(0).integers(0, 256, (240, 220, 3), np.uint8)
    corners = np.array([(13, 43), (13, 197), (167, 43)], float)
    fitted = estimate_transform("similarity", corners, np.array([(0, 0), (0, 223), (223, 0)], float))
    expected = warp(frame, fitted.inverse, output_shape=(224, 224), preserve_range=True)
    # Fractions are cut off, so that rounding may change a level.
    assert np.abs(aligned(frame, BOX).astype(int) - expected.astype(int)).max() <= 1


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, torch.Tensor]]:
    """Random weights with the names of the published file, which holds a generator too."""
    torch.manual_seed(0)
    state = {"smirk_generator.x.weight": torch.zeros(1)}
    for kind, (backbone, layer, outputs) in smirk.ENCODERS.items():
        network = timm.create_model(backbone, pretrained=False, features_only=True)
        last = torch.nn.Linear(network.feature_info[-1]["num_chs"], outputs)
        prefix = f"smirk_encoder.{kind}_encoder"
        state |= {f"{prefix}.encoder.{key}": value for key, value in network.state_dict().items()}
        state |= {f"{prefix}.{layer}.0.{key}": 9 * value for key, value in last.state_dict().items()}
    torch.save(state, tmp_path / "SMIRK_em1.pt")
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path))
    regressed.opened.cache_clear()
    yield state
    regressed.opened.cache_clear()


def test_parameters_are_those_of_the_published_layers(weights: dict[str, torch.Tensor]) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (240, 220, 3), np.uint8)
    image = torch.from_numpy(aligned(frame, BOX)).permute(2, 0, 1)[None] / 255
    found = Smirk().coefficients(frame, Face(np.zeros((68, 2), np.float32), box=BOX))
    for kind, (backbone, layer, _) in smirk.ENCODERS.items():
        prefix = f"smirk_encoder.{kind}_encoder."
        own = {k.removeprefix(f"{prefix}encoder."): v for k, v in weights.items() if k.startswith(f"{prefix}encoder.")}
        network = timm.create_model(backbone, pretrained=False, features_only=True).eval()
        network.load_state_dict(own)
        with torch.no_grad():
            pooled = functional.adaptive_avg_pool2d(network(image)[-1], (1, 1)).flatten(1)
            last = [weights[f"{prefix}{layer}.0.{name}"] for name in ("weight", "bias")]
            values = functional.linear(pooled, *last)[0].numpy()
        if kind == "pose":
            np.testing.assert_allclose(found.pose_rad, values[:3], atol=1e-4)
            continue
        # src/smirk_encoder.py: eyelids in [0, 1], the jaw opens and turns by at most 0.2.
        np.testing.assert_allclose(found.expression[:50], values[:50], atol=1e-4)
        np.testing.assert_allclose(found.expression[50:52], np.clip(values[50:52], 0, 1), atol=1e-4)
        np.testing.assert_allclose(found.expression[52], max(values[52], 0), atol=1e-4)
        np.testing.assert_allclose(found.expression[53:], np.clip(values[53:], -0.2, 0.2), atol=1e-4)


def test_scores_are_mean_absolute_differences_of_faces_that_mediapipe_finds(weights: dict[str, torch.Tensor]) -> None:
    from emo_bench.actors import load

    frames = np.stack(list(load("1").frames([40, 900], size=192)))
    batch = Batch(frames, frames[::-1].copy())
    faces = open_detector("mediapipe", "cpu").faces(batch, "frames")
    for face in faces:
        assert face is not None and face.box is not None
        assert (face.box[:2] <= face.landmarks68.min(axis=0)).all() and (face.landmarks68.max(0) <= face.box[2:]).all()
    network = regressed.opened(Smirk, "cpu")
    sides = [network.coefficients(frame, face) for frame, face in zip(frames, faces, strict=True) if face]
    for metric, part in ((SmirkExpression, 0), (SmirkPose, 1)):
        expected = np.abs(sides[0][part] - sides[1][part]).mean()
        np.testing.assert_allclose(metric().score_batch(batch), expected, rtol=1e-6)


def test_without_the_weights_the_metric_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = location.locate
    monkeypatch.setattr(location, "locate", lambda name: None if name == "smirk" else here(name))
    assert "emo-bench assets add smirk FILE" in str(SmirkPose.missing())
    monkeypatch.undo()
    (tmp_path / "SMIRK_em1.pt").write_bytes(b"nothing")
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path))
    with pytest.raises(UserError, match="cannot be read as a file of SMIRK's weights"):
        Smirk()
