"""Rerender-A-Video's flow: warping, occlusion, the two ways to find it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines.rerender.flow import RAFT_ASSET, FlowFinder, Motion, dis_flow, find_motion, open_flow
from emo_bench import assets

SIDE, EDGE, MOVED = 128, 48, 8


def noise(seed: int, side: int = SIDE) -> np.ndarray:
    """A smooth texture ``uint8 [side, side, 3]`` with a period of about 8 px, which flow can follow."""
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))


def moved_square() -> tuple[np.ndarray, np.ndarray]:
    """The frames then and now: a square moves to the right, over a background that stands still."""
    frames = []
    for left in (16, 16 + MOVED):
        frame = noise(1).copy()
        frame[22 : 22 + EDGE, left : left + EDGE] = noise(2)[:EDGE, :EDGE]
        frames.append(frame)
    return frames[0], frames[1]


def test_warping_by_a_whole_flow_is_numpys_roll_inside() -> None:
    picture = np.random.default_rng(0).random((12, 15, 6), dtype=np.float32)
    flow = np.broadcast_to(np.array([3, -2], np.float32), (12, 15, 2)).copy()
    moved = Motion(flow, np.ones((12, 15), np.float32)).warped(picture)
    assert np.array_equal(moved[2:, :-3], np.roll(picture, (2, -3), (0, 1))[2:, :-3])


def test_warping_halfway_is_the_mean_of_two_neighbours() -> None:
    picture = np.random.default_rng(0).random((6, 8, 1), dtype=np.float32)
    flow = np.broadcast_to(np.array([0.5, 0], np.float32), (6, 8, 2)).copy()
    moved = Motion(flow, np.ones((6, 8), np.float32)).warped(picture)
    np.testing.assert_allclose(moved[:, :-1], (picture[:, :-1] + picture[:, 1:]) / 2, atol=1e-6)


def test_a_coarser_grid_counts_its_own_cells() -> None:
    flow = np.broadcast_to(np.array([8, -4], np.float32), (16, 16, 2)).copy()
    visible = np.ones((16, 16), np.float32)
    visible[:, :2] = 0
    coarse = Motion(flow, visible).on_grid(4)
    np.testing.assert_allclose(coarse.flow, np.broadcast_to([2, -1], (4, 4, 2)))
    np.testing.assert_allclose(coarse.visible, [[0.5, 1, 1, 1]] * 4)


def test_what_a_moving_square_uncovers_is_occluded() -> None:
    then, now = moved_square()
    motion = find_motion(FlowFinder("DIS", dis_flow), now, then)
    uncovered = np.zeros((SIDE, SIDE), bool)
    uncovered[22 : 22 + EDGE, 16 : 16 + MOVED] = True
    near = np.zeros_like(uncovered)
    near[18 : 26 + EDGE, 10 : 20 + EDGE + MOVED] = True
    hidden = motion.visible == 0
    assert hidden[uncovered].mean() > 0.8
    assert hidden[~near].mean() < 0.02
    square = motion.flow[26 : 18 + EDGE, 20 + MOVED : 12 + EDGE + MOVED]
    assert np.abs(np.median(square, (0, 1)) - [-MOVED, 0]).max() < 0.5


def test_a_flow_out_of_the_frame_is_occluded() -> None:
    def right(now: np.ndarray, then: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array([3 if now[0, 0, 0] else -3, 0], np.float32), (*now.shape[:2], 2)).copy()

    now, then = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    visible = find_motion(FlowFinder("given", right), now, then).visible
    assert np.array_equal(visible, np.arange(8)[None] + 3 <= 7 + np.zeros((8, 1)))


def test_equal_frames_have_no_flow_and_no_occlusion_even_if_they_are_tiny() -> None:
    for side in (8, SIDE):
        motion = find_motion(FlowFinder("DIS", dis_flow), noise(3, side), noise(3, side))
        assert np.abs(motion.flow).max() < 0.02 and motion.visible.min() == 1


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    (tmp_path / "assets").mkdir()
    return tmp_path / "assets"


def test_without_weights_the_flow_is_dis(no_weights: Path) -> None:
    assert open_flow("cpu").name == "DIS"


def test_with_weights_it_is_what_torchvisions_raft_gives(no_weights: Path) -> None:
    import torch
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    network = raft_large(weights=None).eval()
    file = no_weights / assets.find_asset(RAFT_ASSET).file
    torch.save(network.state_dict(), file)
    finder = open_flow("cpu")
    assert finder.name == "RAFT"
    now, then = noise(1, 128), noise(2, 128)
    seen = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 127.5 - 1 for one in (now, then)]
    with torch.no_grad():
        expected = network(*seen)[-1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(finder.find(now, then), expected, rtol=1e-4, atol=1e-4)
    assert finder.find(noise(1, 60), noise(2, 60)).shape == (60, 60, 2)
