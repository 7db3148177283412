"""UV maps against an independent rasteriser, and their laws."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from emo_bench.tracking.head_rig import REGIONS, load_head_rig, pose_head
from emo_bench.tracking.uv import rasterise_uv

FOCAL, CENTER, SIZE = 180.0, (62.0, 60.0), 128


@pytest.fixture(scope="module")
def vertices() -> np.ndarray:
    rig = load_head_rig()
    head = rig.head_from_identity(np.zeros(len(rig.identity_basis)))
    still = torch.zeros(1, 3)
    shift = torch.tensor([[0.0, 0.08, 0.7]])
    turn = torch.tensor([[0.1, 0.3, 0.05]])
    return np.asarray(pose_head(rig, head, torch.zeros(1, 52), still, shift, still, turn)[0].numpy())


def test_uv_has_the_documented_type_range_and_mask(vertices: np.ndarray) -> None:
    uv, mask = rasterise_uv(load_head_rig(), vertices, FOCAL, CENTER, SIZE)
    assert (uv.shape, uv.dtype, mask.shape, mask.dtype) == ((SIZE, SIZE, 2), np.float16, (SIZE, SIZE), bool)
    assert uv.min() >= 0.0 and uv.max() <= 1.0
    assert not uv[~mask].any()
    assert 0.2 < mask.mean() < 0.9
    head = mask & (uv[..., 1] < 0.62)
    assert head[: SIZE // 2].sum() > 0.9 * mask[: SIZE // 2].sum()


def test_uv_agrees_with_a_plain_depth_buffer(vertices: np.ndarray) -> None:
    """The nearest triangle whose projection holds the pixel's centre, with perspective-correct weights."""
    rig = load_head_rig()
    uv, mask = rasterise_uv(rig, vertices, FOCAL, CENTER, SIZE)
    corners = vertices[rig.faces].astype(np.float64)
    flat = corners[..., :2] / corners[..., 2:] * FOCAL + np.array(CENTER)
    compared = 0
    for x, y in np.random.default_rng(1).integers(8, SIZE - 8, (300, 2)):
        edge = flat - np.array((x + 0.5, y + 0.5))
        sides = [(edge[:, (k + 1) % 3], edge[:, (k + 2) % 3]) for k in range(3)]
        area = np.stack([a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] for a, b in sides], axis=1)
        holds = (area > 0).all(axis=1) | (area < 0).all(axis=1)
        if not holds.any():
            continue
        weight = area[holds] / corners[holds][..., 2]
        depth = np.abs(area[holds].sum(axis=1)) / np.abs(weight.sum(axis=1))
        nearest = depth.argmin()
        share = weight[nearest] / weight[nearest].sum()
        expected = share @ rig.face_uv[np.flatnonzero(holds)[nearest]]
        assert mask[y, x]
        np.testing.assert_allclose(uv[y, x], expected, atol=2e-3)
        compared += 1
    assert compared > 60


def test_a_larger_picture_is_the_same_map_seen_closer(vertices: np.ndarray) -> None:
    rig = load_head_rig()
    small, small_mask = rasterise_uv(rig, vertices, FOCAL, CENTER, SIZE)
    large, large_mask = rasterise_uv(rig, vertices, FOCAL * 3, (CENTER[0] * 3, CENTER[1] * 3), SIZE * 3)
    np.testing.assert_array_equal(large_mask[1::3, 1::3], small_mask)
    np.testing.assert_allclose(large[1::3, 1::3].astype(np.float32), small.astype(np.float32), atol=2e-3)


def test_charts_do_not_overlap() -> None:
    rig = load_head_rig()
    boxes = [
        (part.reshape(-1, 2).min(axis=0), part.reshape(-1, 2).max(axis=0))
        for part in (rig.face_uv[rig.face_region == i] for i in range(len(REGIONS)))
        if len(part)
    ]
    for a, (low_a, high_a) in enumerate(boxes):
        for low_b, high_b in boxes[a + 1 :]:
            assert (high_a <= low_b).any() or (high_b <= low_a).any()


def test_warp_is_silent_on_a_machine_without_a_gpu() -> None:
    program = "from emo_bench.tracking.raycast import warp; assert warp().get_device('cpu').is_cpu"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
