"""FFHQ alignment against hand-computed geometry and Pillow's quad transform."""

import numpy as np
import pytest
from PIL import Image

from emo_avatar.alignment import align_ffhq, ffhq_quad, invert_affine, quad_to_affine, sample_affine
from emo_avatar.initialization import aligned_heads
from emo_bench.errors import UserError


def face(
    eye_distance: float = 20.0, eye_to_mouth: float = 24.0, center: tuple[float, float] = (60.0, 50.0)
) -> np.ndarray:
    """Landmarks of an upright face whose eyes' midpoint is ``center``."""
    points = np.zeros((68, 2))
    points[36:42] = [center[0] - eye_distance / 2, center[1]]
    points[42:48] = [center[0] + eye_distance / 2, center[1]]
    points[48] = [center[0] - 8, center[1] + eye_to_mouth]
    points[54] = [center[0] + 8, center[1] + eye_to_mouth]
    return points


def picture(height: int, width: int) -> np.ndarray:
    """A smooth colour picture."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / 9 + c) * np.cos(y / 7 - c) + np.sin((x + y) / 13) for c in range(3)]
    return np.round(127.5 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_quad_of_an_upright_face() -> None:
    # Half side: max(2 * 20, 1.8 * 24) = 43.2; centre: 50 + 0.1 * 24 below the eyes.
    expected = [[16.8, 9.2], [16.8, 95.6], [103.2, 95.6], [103.2, 9.2]]
    np.testing.assert_allclose(ffhq_quad(face()), expected)
    # Wide-set eyes: 2 * 30 wins.
    np.testing.assert_allclose(np.ptp(ffhq_quad(face(30.0)), axis=0), [120, 120])


def test_quad_turns_moves_and_scales_with_the_face() -> None:
    rng = np.random.default_rng(0)
    points = face() + rng.normal(0, 1, (68, 2))
    turn = np.deg2rad(25)
    matrix = 1.7 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = points @ matrix.T + [5, -3]
    np.testing.assert_allclose(ffhq_quad(moved), ffhq_quad(points) @ matrix.T + [5, -3])
    batch = ffhq_quad(np.stack([points, moved]))
    np.testing.assert_allclose(batch[1], ffhq_quad(moved))
    with pytest.raises(ValueError, match="68"):
        ffhq_quad(points[:60])


def test_affine_takes_crop_corners_to_the_quad_and_back() -> None:
    quad = ffhq_quad(face() + np.random.default_rng(1).normal(0, 2, (68, 2)))
    affine = quad_to_affine(quad, 32)
    corners = np.array([[0, 0, 1], [0, 32, 1], [32, 32, 1], [32, 0, 1]], dtype=float)
    np.testing.assert_allclose(corners @ affine.T, quad)
    back = np.c_[quad, np.ones(4)] @ invert_affine(affine).T
    np.testing.assert_allclose(back, corners[:, :2], atol=1e-9)


@pytest.mark.parametrize("turn_deg", [0.0, 20.0])
def test_alignment_matches_pillow(turn_deg: float) -> None:
    image = picture(160, 200)
    turn = np.deg2rad(turn_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (face() - [60, 50]) @ matrix.T + [100, 75]
    quad = ffhq_quad(points)
    enlarged = align_ffhq(image, points, 128)
    pillow = Image.fromarray(image).transform(
        (128, 128), Image.Transform.QUAD, tuple(quad.flatten()), Image.Resampling.BILINEAR
    )
    assert np.abs(enlarged.astype(int) - np.asarray(pillow)).max() <= 2
    # Shrinking: Pillow at four times the size, then averaged.
    large = Image.fromarray(image).transform(
        (128, 128), Image.Transform.QUAD, tuple(quad.flatten()), Image.Resampling.BILINEAR
    )
    averaged = np.asarray(large).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(align_ffhq(image, points, 32) - averaged).mean() < 1.0


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    small = sample_affine(stripes, quad_to_affine([[0, 0], [0, 128], [128, 128], [128, 0]], 16), 16)
    assert np.abs(small.astype(int) - 127).max() <= 1


def test_identity_is_exact_and_the_outside_is_mirrored() -> None:
    image = picture(24, 24)
    same = sample_affine(image, [[1, 0, 0], [0, 1, 0]], 24)
    assert np.array_equal(same, image)
    shifted = sample_affine(image, [[1, 0, -4], [0, 1, 0]], 24)
    assert np.array_equal(shifted[:, 4:], image[:, :20])
    assert np.array_equal(shifted[:, :4], image[:, 3::-1])


def test_batches_are_the_single_images() -> None:
    images = np.stack([picture(64, 80), picture(64, 80)[::-1]])
    points = np.stack([face(center=(40, 30)), face(14.0, 18.0, (35, 25))])
    batch = align_ffhq(images, points, 16)
    assert batch.shape == (2, 16, 16, 3)
    assert np.array_equal(batch[1], align_ffhq(images[1], points[1], 16))


def test_a_face_without_extent_is_one_line() -> None:
    class Track:
        landmarks68 = np.full((3, 68, 2), 20.0)

    class Standing:
        name, track = "dot", Track()

    with pytest.raises(UserError, match="actor dot: the landmarks of frame 2 show no face"):
        aligned_heads(Standing(), [2], 64)  # type: ignore[arg-type]
