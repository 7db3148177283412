"""The studio: its ray tracer against analytic shading, its people against MediaPipe, its motion against its
promises.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emo_bench.actors import load
from emo_bench.tracking.fit_landmarks import landmark_places
from emo_bench.tracking.head_rig import EXPRESSIONS, load_head_rig
from emo_bench.tracking.landmarks import Landmarker
from factory.studio.motion import talking_motion
from factory.studio.raytrace import CLOTH, HAIR, Light, RayTracer, Surfaces

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
needs_assets = pytest.mark.skipif(
    not (SHARED / "makehuman" / "skins").is_dir(), reason="MakeHuman's assets are not beside the checkout"
)
needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed")
DARK = (0.0, 0.0, 0.0)
KEY_ONLY = Light((0.0, 0.0, -1.0), (1.0, 1.0, 1.0), (0.0, 0.0, -1.0), DARK, DARK, DARK)


def trace_sheets(
    depths_m: list[float], kinds: list[int], alphas: list[float], normal: tuple[float, float, float]
) -> tuple[np.ndarray, float]:
    """The linear colour and the coverage at the middle of grey sheets stacked before a green wall."""
    count = len(depths_m)
    corners = np.array([[-5, -5, 0], [5, -5, 0], [0, 8, 0]], dtype=np.float32)
    vertices = np.concatenate([corners + np.array([0, 0, depth], np.float32) for depth in depths_m])
    surfaces = Surfaces(
        faces=np.arange(3 * count).reshape(count, 3),
        face_uv=np.zeros((count, 3, 2), np.float32),
        face_part=np.arange(count),
        kind=np.array(kinds),
        tint=np.ones((count, 3)),
        ambient=np.ones(count),
        texture_offset=np.arange(count),
        texture_px=np.ones(count, np.int32),
        texels=np.array([[0.5, 0.5, 0.5, alpha] for alpha in alphas], np.float32),
    )
    wall = np.zeros((8, 8, 3), np.float32)
    wall[..., 1] = 0.6
    normals = np.tile(np.array(normal, np.float32), (3 * count, 1))
    picture, coverage = RayTracer(surfaces).render(vertices, normals, surfaces.face_uv, KEY_ONLY, wall, 8.0, (4.0, 4.0))
    return (picture[4, 4] / 255.0) ** 2.2, float(coverage[4, 4])


def test_a_sheet_that_faces_the_light_has_its_own_colour() -> None:
    colour, coverage = trace_sheets([2.0], [CLOTH], [1.0], (0, 0, -1))
    np.testing.assert_allclose(colour, 0.5, atol=0.01)
    assert coverage == 1.0


def test_a_tilted_sheet_follows_the_wrapped_cosine() -> None:
    angle = np.deg2rad(60)
    colour, _ = trace_sheets([2.0], [CLOTH], [1.0], (np.sin(angle), 0, -np.cos(angle)))
    np.testing.assert_allclose(colour, 0.5 * (0.5 + 0.15) / 1.15, atol=0.01)


def test_a_sheet_in_the_shadow_of_another_is_dark() -> None:
    colour, _ = trace_sheets([2.2, 2.0], [CLOTH, HAIR], [1.0, 0.0], (0, 0, -1))
    assert colour.max() < 0.5 * 0.45, "clear hair still casts a thin shadow; see its share in the kernel"


def test_half_clear_layers_let_half_through_each() -> None:
    alpha = 0.5 / 1.15
    _, coverage = trace_sheets([2.0, 2.1], [HAIR, HAIR], [alpha, alpha], (0, 0, -1))
    assert abs(coverage - 0.75) < 1e-3


@pytest.mark.parametrize("seed", [0, 101, 104])
def test_motion_covers_its_promised_angles_in_its_last_third_too(seed: int) -> None:
    motion = talking_motion(1500, 25.0, seed)
    turns = [Rotation.from_rotvec(v) for v in (motion.body_rotvec, motion.neck_rotvec, motion.head_rotvec)]
    facing = -(turns[0] * turns[1] * turns[2]).as_matrix()[:, :, 2]
    yaw = np.rad2deg(np.arctan2(facing[:, 0], -facing[:, 2]))
    pitch = np.rad2deg(np.arctan2(-facing[:, 1], np.hypot(facing[:, 0], facing[:, 2])))
    assert yaw.min() < -28 and yaw.max() > 28 and pitch.min() < -14 and pitch.max() > 14
    assert np.ptp(yaw[-500:]) > 0.6 * np.ptp(yaw) and np.ptp(pitch[-500:]) > 0.6 * np.ptp(pitch)
    step = np.abs(np.diff(yaw)).max()
    assert step < 4.0, "no jump between neighbouring frames"
    mouth = motion.expression[:, EXPRESSIONS.index("jawOpen")]
    assert (mouth < 0.03).mean() > 0.05 and (mouth > 0.3).mean() > 0.05
    closed = motion.expression[:, EXPRESSIONS.index("eyeBlinkLeft")] > 0.9
    blinks = int((np.diff(closed.astype(int)) == 1).sum())
    assert 12 <= blinks <= 40, "a minute of talking has 12 to 40 blinks"


def test_motion_is_deterministic_and_expressions_are_coefficients() -> None:
    one, two, other = (talking_motion(100, 25.0, seed) for seed in (5, 5, 6))
    assert np.array_equal(one.expression, two.expression) and np.array_equal(one.head_rotvec, two.head_rotvec)
    assert not np.array_equal(one.expression, other.expression)
    assert one.expression.min() >= 0 and one.expression.max() <= 1


def test_jaw_open_parts_the_lips_and_blink_closes_the_lids_of_the_rig() -> None:
    rig = load_head_rig()

    def gap(upper: int, lower: int, action: str) -> tuple[float, float]:
        corners, weights = landmark_places(rig)
        rest = rig.identity_mean[corners]
        moved = rest + rig.expression_deltas[EXPRESSIONS.index(action), corners]
        points = [np.einsum("lk,lkc->lc", weights, v) for v in (rest, moved)]
        return tuple(float(p[lower, 1] - p[upper, 1]) for p in points)  # type: ignore[return-value]

    closed, opened = gap(13, 14, "jawOpen")
    assert opened > closed + 0.01
    opened, closed = gap(159, 145, "eyeBlinkRight")
    assert closed < 0.5 * opened


@pytest.mark.parametrize("name", ["1", "2", "3", "4"])
def test_mediapipe_agrees_with_the_exact_track_of_a_shipped_actor(name: str) -> None:
    actor = load(name)
    assert (len(actor), actor.fps, actor.size_px) == (1500, 25, 256)
    landmarker = Landmarker()
    indices = np.linspace(0, 1499, 7).astype(int)
    errors = []
    for index, frame in zip(indices, actor.frames(indices), strict=True):
        found = landmarker.detect(frame)
        assert found is not None, f"no face in frame {index}"
        exact = actor.track.landmarks478[index]
        eyes_px = np.linalg.norm(exact[468] - exact[473])
        errors.append(np.linalg.norm(found.landmarks478 - exact, axis=1).mean() / eyes_px)
    assert np.mean(errors) < 0.12


@needs_assets
def test_a_proxy_moves_and_grows_with_the_body_it_is_bound_to() -> None:
    from factory.studio.makehuman import load_proxy

    proxy = load_proxy("teeth/teeth_base/teeth_base")
    body = np.random.default_rng(0).normal(size=(19158, 3)).astype(np.float32)
    np.testing.assert_allclose(proxy.fit(body + 1.5), proxy.fit(body) + 1.5, atol=1e-4)
    np.testing.assert_allclose(proxy.fit(body * 2.0), proxy.fit(body) * 2.0, atol=1e-3)
