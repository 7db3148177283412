"""Rerender-A-Video: the frames between two key frames."""

from __future__ import annotations

import numpy as np

from baselines.rerender.between import Side, frames_between
from baselines.rerender.flow import FlowFinder, dis_flow

SIDE = 32
STILL = FlowFinder("still", lambda now, then: np.zeros((*now.shape[:2], 2), np.float32))
DIS = FlowFinder("DIS", dis_flow)


def noise(seed: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def smooth(seed: int, side: int, cell: int = 8) -> np.ndarray:
    """A smooth texture, which the flow can follow."""
    import cv2

    return np.asarray(cv2.resize(noise(seed, side // cell), (side, side), interpolation=cv2.INTER_CUBIC))


def between(recorded: np.ndarray, past: Side, future: Side, finder: FlowFinder, rounds: int = 2) -> np.ndarray:
    return np.stack(list(frames_between(recorded, past, future, finder, rounds, seed=0)))


def test_a_frame_between_two_equal_key_frames_without_motion_is_that_frame() -> None:
    recorded, edited = noise(1), noise(2)
    key = Side(recorded, edited)
    made = between(np.stack([recorded] * 3), key, key, STILL)
    assert np.array_equal(made, np.stack([edited] * 3))


def test_without_motion_two_key_frames_mix_by_the_distance() -> None:
    recorded, left, right = noise(1), np.full((SIDE, SIDE, 3), 40, np.uint8), np.full((SIDE, SIDE, 3), 200, np.uint8)
    made = between(np.stack([recorded] * 3), Side(recorded, left), Side(recorded, right), STILL)
    assert np.array_equal(made[:, 9, 9, 0], [80, 120, 160])


def test_a_moving_picture_carries_its_edit_with_it() -> None:
    """The edit gives each colour another one; the truth between the key frames is that edit of the recorded frames."""
    wide, recolour = smooth(1, 160), np.random.default_rng(5).permutation(3)
    clip = np.stack([wide[:128, 2 * n : 2 * n + 128] for n in range(6)])
    edited = 255 - clip[..., recolour]
    made = between(clip[1:-1], Side(clip[0], edited[0]), Side(clip[-1], edited[-1]), DIS)
    error = np.abs(made.astype(float) - edited[1:-1]).mean()
    still = np.abs(edited[:1].astype(float) - edited[1:-1]).mean()
    assert error < 2.5 and error < 0.1 * still, (error, still)


def test_what_one_key_frame_hides_comes_from_the_other() -> None:
    """A square has left the place that it covered in the past key frame."""
    ground, square = smooth(1, 128), smooth(2, 128, 4)[:32, :32]
    clip = []
    for left in (20, 32, 60):
        frame = ground.copy()
        frame[48:80, left : left + 32] = square
        clip.append(frame)
    edited = [255 - frame for frame in clip]
    made = between(np.stack(clip[1:2]), Side(clip[0], edited[0]), Side(clip[2], edited[2]), DIS)[0]
    uncovered = np.s_[52:76, 22:30]
    error = np.abs(made[uncovered].astype(float) - edited[1][uncovered]).mean()
    one_sided = np.abs(edited[0][uncovered].astype(float) - edited[1][uncovered]).mean()
    assert error < 0.25 * one_sided, (error, one_sided)


def test_patchmatch_repairs_a_flow_that_is_off_by_two_pixels() -> None:
    wide = smooth(1, 160, 4)
    then, now = wide[:128, 4:132], wide[:128, 6:134]
    key = Side(then, 255 - then)
    wrong = FlowFinder("still", STILL.find)
    errors = [
        np.abs(between(now[None], key, key, wrong, rounds)[0].astype(float) - (255 - now))[:, :-6].mean()
        for rounds in (0, 3)
    ]
    assert errors[1] < 0.3 * errors[0], errors


def test_the_same_seed_gives_the_same_frames() -> None:
    clip = np.stack([smooth(seed, SIDE) for seed in range(4)])
    keys = Side(clip[0], noise(8)), Side(clip[3], noise(9))
    assert np.array_equal(between(clip[1:3], *keys, DIS), between(clip[1:3], *keys, DIS))
