"""INSTA: its parts against analytic values, the whole on a few frames of a studio actor."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from baselines import gpu_packages
from baselines.hull import face_vertices, outer_extents, vertex_normals
from baselines.insta.canonical import CanonicalMap
from baselines.insta.field import resolved_hash_grid, spherical_harmonics
from baselines.insta.hash_grid import HashGrid
from baselines.insta.method import Insta
from baselines.insta.occupancy import OccupancyGrid
from baselines.insta.rays import TrainingRays
from baselines.insta.shell import Shell
from baselines.insta.volume import composite, transmittance_weights, weights_by_nerfacc
from baselines.plate import clean_plate
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.tracking.head_rig import load_head_rig

TINY = {
    "resolution_px": "32", "samples": "6", "levels": "5", "log2_rows": "14", "finest": "200", "rays": "256",
    "checkpoint_every_steps": "4", "occupancy_start": "6", "occupancy_cells": "32",
}  # fmt: skip


def method(folder: Path, **changed: str) -> Insta:
    folder.mkdir(exist_ok=True)
    return Insta(Workspace(folder, "smoke", seed=5, settings={**TINY, **changed}))


def test_a_uniform_medium_follows_beer_and_lambert() -> None:
    density, near, far, count = 3.0, 0.5, 1.5, 4000
    lengths = torch.full((1, count), (far - near) / count)
    depths = near + (torch.arange(count)[None] + 0.5) * lengths
    colour = torch.tensor([0.2, 0.5, 0.9])
    seen = composite(torch.full((1, count), density), lengths, colour.expand(1, count, 3), depths, torch.tensor([far]))
    opacity = 1.0 - np.exp(-density * (far - near))
    assert float(seen.opacity) == pytest.approx(opacity, abs=1e-5)
    np.testing.assert_allclose(seen.rgb[0], colour * opacity, atol=1e-5)
    # Integral of t * density * exp(-density (t - near)), and far for the light that passes.
    expected = near + 1 / density - (far + 1 / density) * np.exp(-density * (far - near))
    expected += far * np.exp(-density * (far - near))
    assert float(seen.depth) == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(seen.over(torch.ones(1, 3))[0], colour * opacity + 1 - opacity, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 50.0), min_size=2, max_size=8), st.integers(1, 7))
def test_splitting_an_interval_changes_nothing(density: list[float], where: int) -> None:
    where = min(where, len(density) - 1)
    whole = torch.tensor([density])
    lengths = torch.full_like(whole, 0.1)
    split = torch.cat((whole[:, :where], whole[:, where - 1 :]), dim=1)
    halves = torch.full_like(split, 0.1)
    halves[:, where - 1 : where + 1] = 0.05
    weights = transmittance_weights(whole, lengths)[0]
    finer = transmittance_weights(split, halves)[0]
    merged = torch.cat((finer[: where - 1], finer[where - 1 : where + 1].sum()[None], finer[where + 1 :]))
    np.testing.assert_allclose(merged, weights, atol=1e-6)


def test_an_opaque_sample_hides_what_lies_behind() -> None:
    weights = transmittance_weights(torch.tensor([[0.0, 1e6, 1e6]]), torch.ones(1, 3))
    np.testing.assert_allclose(weights[0], [0.0, 1.0, 0.0], atol=1e-6)


def packed_weights(
    starts: torch.Tensor, ends: torch.Tensor, density: torch.Tensor, *, packed_info: torch.Tensor
) -> tuple[torch.Tensor, None, None]:
    """What nerfacc's documentation says of a packed layout, a sample at a time."""
    weights = torch.zeros_like(density)
    for first, count in packed_info.tolist():
        passed = 1.0
        for i in range(first, first + count):
            alpha = 1.0 - np.exp(-float(density[i] * (ends[i] - starts[i])))
            weights[i] = passed * alpha
            passed *= 1.0 - alpha
    return weights, None, None


def test_nerfacc_is_asked_for_the_same_weights() -> None:
    package = types.ModuleType("nerfacc")
    package.__dict__["render_weight_from_density"] = packed_weights
    torch.manual_seed(0)
    density, lengths = 5 * torch.rand(6, 7), torch.rand(6, 7)
    found = weights_by_nerfacc(package, density, lengths)
    np.testing.assert_allclose(found, transmittance_weights(density, lengths), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("tinycudann", "raise EnvironmentError('unknown compute capability')", "unknown compute capability"),
        ("nerfacc", "__version__ = '0.3.5'", "older than 0.5"),
    ],
)
def test_a_package_that_does_not_work_is_not_used_and_the_log_says_so(
    name: str, source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gpu_packages.log, "propagate", True)
    monkeypatch.delitem(sys.modules, name, raising=False)
    gpu_packages._loaded.cache_clear()
    with caplog.at_level("WARNING"):
        assert (gpu_packages.tiny_cuda_nn() if name == "tinycudann" else gpu_packages.nerfacc()) is None
    assert said in caplog.text
    assert resolved_hash_grid("auto", "cuda") == "warp"
    gpu_packages._loaded.cache_clear()


def test_the_configuration_says_whose_hash_grid_was_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An avatar of the one cannot be loaded into the other."""
    assert method(tmp_path).config.hash_grid == "warp"
    with pytest.raises(UserError, match="hash_grid=tiny-cuda-nn needs a GPU"):
        method(tmp_path, hash_grid="tiny-cuda-nn")
    monkeypatch.setattr("baselines.insta.field.tiny_cuda_nn", lambda: types.ModuleType("tinycudann"))
    assert resolved_hash_grid("auto", "cuda") == resolved_hash_grid("tiny-cuda-nn", "cuda:0") == "tiny-cuda-nn"
    assert resolved_hash_grid("warp", "cuda") == "warp"


def test_weighted_means_over_drawn_rays_are_means_over_all(tmp_path: Path) -> None:
    """However much more often the mouth is drawn."""
    capture, rig = actors.load("1"), load_head_rig()
    config = method(tmp_path, mouth_weight="40").config
    shell = Shell(rig, capture.track, np.full(len(rig.identity_mean), 0.01), config)
    training = TrainingRays(capture, [0, 200], shell, config)
    batches = training.draw(np.random.default_rng(0), 4, 800_000)
    assert {batch.index for batch in batches} <= {0, 200}
    for batch in batches:
        every = shell.rays(batch.index)
        (frame,) = capture.frames([batch.index], size=config.resolution_px)
        truth = frame.reshape(-1, 3)[every.pixels] / 255.0
        assert batch.rays.mouth.mean() > 5 * every.mouth.mean() > 0
        assert batch.weight.mean() == pytest.approx(1.0, abs=0.01)
        assert (batch.weight * batch.rays.mouth).mean() == pytest.approx(every.mouth.mean(), rel=0.02)
        np.testing.assert_allclose((batch.weight[:, None] * batch.rgb).mean(axis=0), truth.mean(axis=0), rtol=0.02)


@pytest.fixture(scope="module")
def canonical() -> CanonicalMap:
    return CanonicalMap(load_head_rig().faces, load_head_rig().identity_mean, 0.05, "cpu")


def test_mesh_points_go_back_to_rest_whatever_the_pose(canonical: CanonicalMap) -> None:
    """Exactly undoes expressions and skinning on vertices and inside triangles."""
    rig, track = load_head_rig(), actors.load("1").track
    moved = track.vertices(200)
    own = CanonicalMap(rig.faces, track.head.rest_vertices, 0.05, "cpu")
    rng = np.random.default_rng(0)
    weights = rng.dirichlet((1, 1, 1), len(rig.faces)).astype(np.float32)
    inside, resting = (np.einsum("nc,ncd->nd", weights, mesh[rig.faces]) for mesh in (moved, track.head.rest_vertices))
    # Lids, eyeballs and lips touch in a few places; there two triangles are equally near.
    apart = rig.face_region < 2
    for points, expected in (
        (inside[apart], resting[apart]),
        (moved[rig.faces[apart, 0]], track.head.rest_vertices[rig.faces[apart, 0]]),
    ):
        carried = own.carry(moved, torch.from_numpy(points), torch.zeros(len(points), 3))
        gap = np.linalg.norm(carried.points.numpy() - expected, axis=1)
        assert np.quantile(gap, 0.99) < 1e-5, np.quantile(gap, [0.5, 0.9, 0.99, 1])


def test_a_rigid_motion_is_undone_off_the_surface_too(canonical: CanonicalMap) -> None:
    rig = load_head_rig()
    rest = rig.identity_mean
    turn, shift = Rotation.from_rotvec([0.2, -0.5, 0.1]), np.array([0.1, -0.2, 1.0])
    points = rest + 0.01 * vertex_normals(rest, rig.faces)
    to_camera = [(turn.apply(x) + shift).astype(np.float32) for x in (rest, points)]
    directions = np.tile(np.array([0, 0, 1], np.float32), (len(points), 1))
    carried = canonical.carry(to_camera[0], torch.from_numpy(to_camera[1]), torch.from_numpy(directions))
    assert (carried.face >= 0).all()
    assert np.abs(carried.points.numpy() - points).max() < 2e-5
    assert np.abs(carried.directions.numpy() - turn.inv().apply(directions)).max() < 1e-4
    far = canonical.carry(to_camera[0], torch.tensor([[5.0, 5.0, 5.0]]), torch.zeros(1, 3))
    assert far.face.tolist() == [-1]


def test_a_dense_level_is_trilinear_interpolation() -> None:
    """Against torch's own sampling of the same volume."""
    torch.manual_seed(0)
    grid = HashGrid(levels=1, features=3, log2_rows=10, coarsest=7, finest=7)
    torch.nn.init.normal_(grid.table)
    points = torch.rand(200, 3)
    volume = grid.table[0, : 8**3].reshape(8, 8, 8, 3).permute(3, 0, 1, 2)[None]
    expected = torch.nn.functional.grid_sample(
        volume, points[None, None, None] * 2 - 1, mode="bilinear", align_corners=True
    )[0, :, 0, 0].T
    np.testing.assert_allclose(grid(points).detach(), expected.detach(), atol=1e-5)


def test_the_hash_grid_is_linear_along_an_axis_inside_a_cell_and_in_its_table() -> None:
    torch.manual_seed(0)
    grid = HashGrid(levels=4, features=2, log2_rows=8, coarsest=4, finest=50)
    torch.nn.init.normal_(grid.table)
    start = (torch.randint(0, 50, (64, 3)) + 0.25) / 50
    level = slice(6, 8)  # the finest, hashed: 51 ** 3 corners in 256 rows
    end, middle = start.clone(), start.clone()
    end[:, 1] += 0.5 / 50
    middle[:, 1] += 0.25 / 50
    a, b, c = (grid(p)[:, level] for p in (start, end, middle))
    np.testing.assert_allclose(c.detach(), (0.5 * (a + b)).detach(), atol=1e-5)
    assert (a - b).abs().max() > 0.1
    direction, cotangent = torch.randn_like(grid.table), torch.randn(64, 8)
    (grid(start) * cotangent).sum().backward()
    assert grid.table.grad is not None
    slope = (grid.table.grad * direction).sum()
    before = (grid(start) * cotangent).sum()
    with torch.no_grad():
        grid.table.add_(direction)
    after = (grid(start) * cotangent).sum()
    assert float(slope) == pytest.approx(float((after - before).detach()), rel=1e-3, abs=1e-3)


def test_spherical_harmonics_are_orthonormal() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * 2 * np.pi / 16
    z, angle = np.meshgrid(nodes, angles, indexing="ij")
    ring = np.sqrt(1 - z**2)
    points = np.stack((ring * np.cos(angle), ring * np.sin(angle), z), axis=-1).reshape(-1, 3)
    area = np.repeat(weights, 16) * 2 * np.pi / 16
    values = spherical_harmonics(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(values.T @ (values * area[:, None]), np.eye(16), atol=1e-6)


def test_cells_seen_empty_are_forgotten_and_found_again() -> None:
    grid = OccupancyGrid(8)
    point, other = torch.tensor([[0.1, 0.1, 0.1]]), torch.tensor([[0.9, 0.9, 0.9]])
    assert grid.occupied(point).all()
    for _ in range(60):
        grid.observe(other, torch.tensor([0.8]))
    assert not grid.occupied(point).any()
    assert grid.occupied(other).all()
    grid.observe(point, torch.tensor([0.5]))
    assert grid.occupied(point).all()


def test_the_hull_is_thick_at_long_hair_and_thin_at_the_face() -> None:
    rig = load_head_rig()
    extents = {}
    for name in ("1", "3"):  # short hair; hair down to the shoulders
        capture = actors.load(name)
        extents[name] = outer_extents(rig, capture, range(0, 900, 50), 64, face_m=0.004, farthest_m=0.06, samples=18)
        assert extents[name].min() >= 0.0 and extents[name].max() <= 0.06
        face = face_vertices(rig, capture.track.head.rest_vertices)
        assert np.median(extents[name][face]) == pytest.approx(0.004, abs=1e-3)
    rest = actors.load("3").track.head.rest_vertices
    sides = (rig.skin_weights[:, 2] > 0.9) & (np.abs(vertex_normals(rest, rig.faces)[:, 0]) > 0.8)
    sides &= ~face_vertices(rig, rest)
    assert extents["3"][sides].mean() > 1.5 * extents["1"][sides].mean()


def test_the_plate_is_the_median_of_what_is_not_covered() -> None:
    capture = actors.load("1")
    train = list(range(0, 800, 100))
    plate = clean_plate(capture.restricted(train), train, 64, samples=8)
    frames = np.stack(list(capture.frames(train, size=64))) / 255.0
    np.testing.assert_allclose(plate[:6, :6], np.median(frames[:, :6, :6], axis=0), atol=1e-6)
    assert plate.shape == (64, 64, 3) and plate.dtype == np.float32


def test_it_learns_a_few_frames_and_a_fresh_object_renders_the_same(tmp_path: Path) -> None:
    capture = actors.load("1")
    train = [0, 150, 300, 450]
    changed = {"steps": "110", "resolution_px": "64", "rays": "768", "lr": "0.03", "final_lr_share": "0.3"}
    fitted = method(tmp_path, **changed)
    fitted.fit(capture.restricted(train), train)
    rendered = list(fitted.render(capture.restricted(()), train))
    truth = np.stack(list(capture.frames(train, size=64))).astype(float)
    error = np.square(np.stack(rendered) - truth).mean()
    playing_mean = np.square(truth.mean(axis=0) - truth).mean()
    assert error < 0.4 * playing_mean, (error, playing_mean)
    other = method(tmp_path, **changed)
    other.load()
    np.testing.assert_array_equal(next(iter(other.render(capture.restricted(()), [150]))), rendered[1])
    with pytest.raises(UserError, match="other settings"):
        method(tmp_path, **{**changed, "steps": "111"}).load()


def test_stopped_and_gone_on_equals_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import load_file

    from baselines.insta.fitting import InstaFit

    capture = actors.load("1").restricted(range(0, 40, 10))
    train = list(range(0, 40, 10))
    method(tmp_path / "whole", steps="10").fit(capture, train)
    step = InstaFit.run_step

    def dies(self: InstaFit) -> dict[str, float]:
        if self.step == 6:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(InstaFit, "run_step", dies)
        with pytest.raises(KeyboardInterrupt):
            method(tmp_path / "parts", steps="10").fit(capture, train)
    method(tmp_path / "parts", steps="10").fit(capture, train)
    whole, parts = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    rows = (tmp_path / "parts" / "train.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", *map(str, range(10))]


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no setting 'stepz'"):
        method(tmp_path, stepz="3")
    with pytest.raises(UserError, match="--set samples"):
        method(tmp_path, samples="1")
    with pytest.raises(UserError, match="3 rays are not enough for 4 frames"):
        method(tmp_path, rays="3", frames_a_step="4")
