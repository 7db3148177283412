"""PointAvatar: splatting against a loop over pixels, deformation against the rig, the whole on a few frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.camera import camera_at
from baselines.point_avatar.cloud import PointCloud, first_cloud, first_radius
from baselines.point_avatar.config import PROFILES, PointAvatarConfig
from baselines.point_avatar.fitting import PointAvatarFit, TrainingPictures, colour_points
from baselines.point_avatar.method import PointAvatar
from baselines.point_avatar.networks import CanonicalNetwork, Deformer
from baselines.point_avatar.renderer import PointAvatarModel
from baselines.point_avatar.rig_surface import RigSurface, frame_drive
from baselines.point_avatar.splatting import composite, rasterise
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.tracking.head_rig import Head, HeadRig, load_head_rig

TINY = {
    "resolution_px": "32",
    "first_points": "600",
    "most_points": "1500",
    "deformer_width": "16",
    "canonical_width": "16",
    "shading_width": "16",
    "checkpoint_every_steps": "4",
}


def method(folder: Path, **changed: str) -> PointAvatar:
    folder.mkdir(exist_ok=True)
    return PointAvatar(Workspace(folder, "smoke", seed=5, settings={**TINY, **changed}))


def surface_of(head: Head, rig: HeadRig) -> RigSurface:
    return RigSurface(rig, head.rest_vertices, head.joints, "cpu")


def by_hand(pixels: Tensor, depth: Tensor, features: Tensor, radius: float, size: int, most: int) -> np.ndarray:
    """The definition, a pixel at a time: features, then opacity."""
    picture = np.zeros((size, size, features.shape[1] + 1))
    for row in range(size):
        for column in range(size):
            gap = ((pixels - torch.tensor([column + 0.5, row + 0.5])) ** 2).sum(dim=1)
            hit = [int(i) for i in torch.argsort(depth) if gap[i] < radius**2 and depth[i] > 0][:most]
            passed = 1.0
            for i in hit:
                alpha = min(1.0 - float(gap[i]) / radius**2, 0.999)
                picture[row, column, :-1] += passed * alpha * features[i].numpy()
                passed *= 1.0 - alpha
            picture[row, column, -1] = 1.0 - passed
    return picture


def test_splatting_is_its_definition() -> None:
    torch.manual_seed(0)
    count, size, radius, most = 120, 9, 1.7, 4
    pixels, depth = torch.rand(count, 2) * 11 - 1, torch.rand(count) - 0.1
    features = torch.rand(count, 3)
    drawn = composite(rasterise(pixels, depth, radius, size, most), pixels, radius, features, most)
    expected = by_hand(pixels, depth, features, radius, size, most)
    np.testing.assert_allclose(drawn.features, expected[..., :-1], atol=1e-5)
    np.testing.assert_allclose(drawn.opacity, expected[..., -1], atol=1e-5)


def test_gradients_of_splatting_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    pixels = (torch.rand(14, 2, dtype=torch.float64) * 5).requires_grad_(True)
    features = torch.rand(14, 2, dtype=torch.float64, requires_grad=True)
    found = rasterise(pixels.detach(), torch.rand(14, dtype=torch.float64), 1.4, 5, 10)

    def draw(places: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        drawn = composite(found, places, 1.4, colours, 10)
        return drawn.features, drawn.opacity

    assert torch.autograd.gradcheck(draw, (pixels, features), eps=1e-7, atol=1e-5)


def test_the_nearer_point_hides_the_farther_and_is_seen() -> None:
    pixels = torch.tensor([[2.5, 2.5], [2.5, 2.5]])
    colours = torch.eye(2)
    for depth, front in ((torch.tensor([1.0, 2.0]), 0), (torch.tensor([2.0, 1.0]), 1)):
        drawn = composite(rasterise(pixels, depth, 1.0, 5, 10), pixels, 1.0, colours, 10)
        assert float(drawn.features[2, 2, front]) > 0.99
        assert float(drawn.features[2, 2, 1 - front]) < 0.01
        assert float(drawn.seen[front]) > 0.99 and float(drawn.seen[1 - front]) < 0.01


def test_the_nearest_points_of_pixels_stay() -> None:
    """The nearest point of a pixel is found by the definition; faint discs are among them."""
    torch.manual_seed(0)
    count, size, radius = 150, 9, 1.2
    pixels, depth = torch.rand(count, 2) * 11 - 1, torch.rand(count) - 0.1
    drawn = composite(rasterise(pixels, depth, radius, size, 4), pixels, radius, torch.rand(count, 3), 4)
    nearest = set()
    for row in range(size):
        for column in range(size):
            gap = ((pixels - torch.tensor([column + 0.5, row + 0.5])) ** 2).sum(dim=1)
            over = ((gap < radius**2) & (depth > 0)).nonzero()[:, 0]
            nearest |= {int(over[depth[over].argmin()])} if len(over) else set()
    assert set(drawn.front.nonzero()[:, 0].tolist()) == nearest
    surface = surface_of(actors.load("1").track.head, load_head_rig())
    cloud = PointCloud(surface.rest[:count].clone(), torch.randn(count, 3), surface, 0.3)
    cloud.notice(drawn.seen, drawn.front)
    cloud.notice(torch.zeros(count), torch.zeros(count, dtype=torch.bool))
    seen = drawn.seen >= 0.5
    assert (drawn.front & ~seen).sum() > 2 and (~drawn.front & ~seen).sum() > 2
    kept = cloud.pruned(0.5, keep_front_most=True)
    assert torch.equal(kept.places, cloud.places[drawn.front | seen]) and not kept.front.any()
    assert torch.equal(cloud.pruned(0.5, keep_front_most=False).places, cloud.places[seen])


def test_a_pixel_keeps_the_nearest_ten() -> None:
    pixels = torch.full((12, 2), 0.6)  # not at the centre, so that light passes each of them
    depth = torch.arange(12, 0, -1).float()
    features = torch.zeros(12, 1)
    features[:2] = 1.0  # the two farthest
    drawn = composite(rasterise(pixels, depth, 0.3, 1, 10), pixels, 0.3, features, 10)
    assert float(drawn.features.sum()) == 0.0
    assert float(drawn.opacity) > 0.99


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.02, -0.01, 0.1)])
def test_untrained_deformation_of_rig_vertices_is_the_rigs(shift: tuple[float, float, float]) -> None:
    """Expressions, skinning and the shift of the torso; the track's own vertices are the reference."""
    rig, track = load_head_rig(), actors.load("1").track
    track.torso_shift[200] = shift
    try:
        surface = surface_of(track.head, rig)
        deformer = Deformer(PointAvatarConfig(), surface)
        corners = rig.faces[rig.face_region < 2]
        points = surface.rest[torch.from_numpy(corners[:, 0].astype(np.int64))]
        drive = frame_drive(rig, track, 200, "cpu")
        at = surface.attach(points)
        with torch.no_grad():
            posed = deformer(points, at, deformer.residuals(points), drive)
        gap = np.linalg.norm(posed.numpy() - track.vertices(200)[corners[:, 0]], axis=1)
        # The least skinning weight, 1e-4, moves a vertex by hundredths of a millimetre.
        assert np.quantile(gap, 0.99) < 1e-4, np.quantile(gap, [0.5, 0.9, 0.99, 1.0])
    finally:
        track.torso_shift[200] = 0.0


def test_vectors_turn_with_the_triangles() -> None:
    rig, track = load_head_rig(), actors.load("1").track
    surface = surface_of(track.head, rig)
    chosen = np.arange(0, len(rig.faces), 37)
    at = surface.attach(surface.rest[surface.faces[chosen]].mean(dim=1))

    def normals(mesh: np.ndarray) -> np.ndarray:
        corners = mesh[rig.faces[at.face.numpy()]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)

    moved = track.vertices(300)
    resting = torch.from_numpy(normals(track.head.rest_vertices))
    turned = surface.turn(torch.from_numpy(moved), at, resting)
    np.testing.assert_allclose(turned, normals(moved), atol=1e-3)


def test_the_distance_starts_as_a_sphere() -> None:
    torch.manual_seed(0)
    network = CanonicalNetwork(PointAvatarConfig(canonical_width=256, canonical_layers=4), torch.zeros(3))
    directions = torch.nn.functional.normalize(torch.randn(500, 3), dim=1)
    for radius_m in (0.05, 0.125, 0.25):  # a quarter metre is one unit; the sphere's radius is half a unit
        distance, gradient, _ = (x.detach() for x in network.with_gradient(directions * radius_m))
        assert float(distance.mean()) == pytest.approx(radius_m / 0.25 - 0.5, abs=0.12)
        if radius_m > 0.1:  # the softplus is round near the middle
            assert float((gradient * directions).sum(dim=1).mean()) == pytest.approx(1.0, abs=0.25)


def test_growth_doubles_up_to_the_most_and_pruning_drops_the_unseen() -> None:
    """Discs shrink by a quarter when their number doubles and at no other time, as in the public code."""
    rig = load_head_rig()
    surface = surface_of(actors.load("1").track.head, rig)
    cloud = PointCloud(surface.rest[:100].clone(), torch.randn(100, 3), surface, first_radius(100, 1.0))
    rng = np.random.default_rng(0)
    grown = cloud.doubled(1000, 0.002, rng)
    assert len(grown) == 200
    gap = torch.cdist(grown.places[100:], cloud.places).min(dim=1).values
    assert 0 < float(gap.detach().max()) <= 0.002 * 3**0.5
    assert torch.equal(grown.albedo[100:], cloud.albedo)
    assert float(grown.radius) == pytest.approx(0.3 * 0.75)
    assert grown.doubled(399, 0.002, rng) is grown
    hidden = torch.zeros(100, dtype=torch.bool)
    cloud.notice(torch.linspace(0, 1, 100), hidden)
    cloud.notice(torch.zeros(100), hidden)
    pruned = cloud.pruned(0.5, keep_front_most=True)
    assert len(pruned) == 50
    assert float(pruned.radius) == pytest.approx(0.3)
    assert first_radius(400, 1.0) == pytest.approx(0.3 * 0.75**2)


def fit_of(picture: Tensor | None = None, **changed: object) -> PointAvatarFit:
    """A fit of two frames, not begun; with ``picture`` both show that one, seen whole."""
    rig, capture = load_head_rig(), actors.load("1")
    track, config = capture.track, PointAvatarConfig(**PROFILES["smoke"] | {"resolution_px": 64} | changed)
    torch.manual_seed(0)
    head = track.head
    model = PointAvatarModel(rig, head.rest_vertices, head.joints, np.zeros((64, 64, 3)), config, "cpu")
    extents = np.zeros(len(head.rest_vertices))
    model.cloud = first_cloud(rig, model.surface, extents, config, np.random.default_rng(0))
    pictures = TrainingPictures(capture, [0, 300], 64, "cpu")
    if picture is not None:
        pictures._frames[:] = (picture * 255).to(torch.uint8).numpy()
        pictures._masks[:] = True
    camera = camera_at(track, 64)
    return PointAvatarFit(model, pictures, camera, config, None, 0, 0.005)


def test_points_start_with_the_colours_that_they_cover() -> None:
    picture = torch.zeros(64, 64, 3)
    picture[:32], picture[32:] = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.8, 0.4, 0.2])
    fitting = fit_of(picture, first_colours=2)
    model, camera = fitting.model, fitting._camera
    colour_points(model, fitting._pictures, camera)
    drive = fitting._pictures.row(0)[2]
    drawn = model._splat(torch.sigmoid(model.cloud.albedo), model.deformer.residuals(model.cloud.places), drive, camera)
    full = drawn.opacity > 0.99
    for rows in (slice(0, 26), slice(38, 64)):
        inside = full[rows]
        assert inside.sum() > 100
        gap = (drawn.features[rows] - picture[rows])[inside].abs()
        assert float(gap.detach().mean()) < 0.02


def test_masks_that_show_nothing_are_refused() -> None:
    fitting = fit_of(first_colours=2)
    fitting._pictures._masks[:] = False
    with pytest.raises(UserError, match="no point lies in the foreground masks"):
        colour_points(fitting.model, fitting._pictures, fitting._camera)


def test_points_behind_others_wait() -> None:
    """Also those that moved in earlier steps, whose momentum Adam remembers."""
    fitting = fit_of(least_seen=0.1, batch=1)
    cloud = fitting.model.cloud
    moved_once, waited_later = torch.zeros(len(cloud), dtype=torch.bool), 0
    for _ in range(6):
        own = (cloud.places, cloud.albedo)
        before = [values.detach().clone() for values in own]
        cloud.seen.zero_()
        fitting.run_step()
        hidden = cloud.seen < 0.1
        assert 0.1 < float(hidden.float().mean()) < 0.95
        for old, now in zip(before, own, strict=True):
            moved = (now.detach() - old).abs().amax(dim=1)
            assert float(moved[hidden].max()) == 0.0
            assert float((moved[~hidden] > 0).float().mean()) > 0.95
        waited_later += int((hidden & moved_once).sum())
        moved_once |= ~hidden
    assert waited_later > 20


def test_the_distance_does_not_pull_points() -> None:
    alone = {f"{name}_weight": 0.0 for name in ("rgb", "mask", "rig")}
    fitting = fit_of(**alone, least_seen=0.0)
    cloud, last = fitting.model.cloud, fitting.model.canonical.last.weight
    places, weight = cloud.places.detach().clone(), last.detach().clone()
    fitting.run_step()
    assert torch.equal(cloud.places.detach(), places)
    assert not torch.equal(last.detach(), weight)


def test_a_cloud_that_stays_keeps_its_momentum() -> None:
    fitting = fit_of(most_points=16, prune_least_radius=9.0, steps=20, growths=1, growth_share=0.5)
    fitting.run_step()
    moments = fitting._points.state[fitting.model.cloud.places]
    fitting._grow(np.random.default_rng(0))
    assert fitting._points.state[fitting.model.cloud.places] is moments


def test_no_frequencies_leave_the_network_alive() -> None:
    torch.manual_seed(0)
    network = CanonicalNetwork(PointAvatarConfig(canonical_layers=8, frequencies=0), torch.zeros(3))
    distance, _ = network(torch.tensor([[0.05, 0.0, 0.0], [0.4, 0.0, 0.0]]))
    assert float((distance[1] - distance[0]).detach()) > 0.5


def test_points_brighter_than_white_can_darken() -> None:
    fitting = fit_of(torch.zeros(64, 64, 3), least_seen=0.0)
    cloud = fitting.model.cloud
    with torch.no_grad():
        cloud.albedo.fill_(4.0)
        fitting.model.shading.network[-1].bias.fill_(3.0)
    before = cloud.albedo.detach().clone()
    fitting.run_step()
    visible = cloud.seen > 0.5
    assert float((cloud.albedo.detach() < before)[visible].float().mean()) > 0.99


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[PointAvatar, Capture, list[int]]:
    capture = actors.load("1")
    train = [0, 150, 300, 450]
    avatar = method(tmp_path_factory.mktemp("fitted"), steps="160", lr="0.002")
    avatar.fit(capture.restricted(train), train)
    return avatar, capture, train


def test_it_learns_a_few_frames(fitted: tuple[PointAvatar, Capture, list[int]]) -> None:
    avatar, capture, train = fitted
    truth = np.stack(list(capture.frames(train, size=32))).astype(float)
    rendered = np.stack(list(avatar.render(capture.restricted(()), train)))
    error = np.square(rendered - truth).mean()
    playing_mean = np.square(truth.mean(axis=0) - truth).mean()
    assert error < 0.3 * playing_mean, (error, playing_mean)
    other = PointAvatar(avatar.workspace)
    other.load()
    np.testing.assert_array_equal(next(iter(other.render(capture.restricted(()), [150]))), rendered[1])


def test_stopped_and_gone_on_equals_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across growth and pruning of the cloud, so that sizes on disk differ from those at the start; track refined."""
    from safetensors.numpy import load_file

    train = list(range(0, 40, 10))
    capture = actors.load("1").restricted(train)
    changed = {"steps": "12", "prunings": "2", "batch": "2", "prune_below": "0.01"}
    changed |= {"refine_track": "true", "refine_from": "0.3"}
    method(tmp_path / "whole", **changed).fit(capture, train)
    step = PointAvatarFit.run_step

    def dies(self: PointAvatarFit) -> dict[str, float]:
        if self.step == 10:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(PointAvatarFit, "run_step", dies)
        with pytest.raises(KeyboardInterrupt):
            method(tmp_path / "parts", **changed).fit(capture, train)
    method(tmp_path / "parts", **changed).fit(capture, train)
    whole, parts = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert len(whole["cloud.places"]) > 600 * 0.5
    assert len(whole["cloud.places"]) != 600
    assert (np.abs(whole["refinement.additions.weight"]).max(axis=1) > 1e-4).all()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)


def test_the_paper_profile_has_the_published_sizes(tmp_path: Path) -> None:
    avatar = PointAvatarConfig(**PROFILES["paper"])
    assert avatar.first_points * 2**10 == avatar.most_points == 409600
    # A doubling every five of 62 epochs, as long as there is room.
    spacing = avatar.growth_share * 62 / avatar.growths
    assert spacing == pytest.approx(5) and avatar.growths == 62 // 5
    assert avatar.points_a_pixel == 10
    assert avatar.refine_track and avatar.refine_from == pytest.approx(10 / 62) and avatar.refine_lr == 5e-4
    assert avatar.keep_front_most and avatar.albedo_steepness == 10


def test_the_albedo_is_the_sigmoid_of_ten_times_the_networks_output() -> None:
    networks = []
    for profile in ("cpu", "paper"):
        torch.manual_seed(0)
        changed = {"canonical_width": 16, "canonical_layers": 2}
        networks.append(CanonicalNetwork(PointAvatarConfig(**PROFILES[profile] | changed), torch.zeros(3)))
    points = 0.2 * torch.randn(50, 3)
    plain, steep = (network(points)[1].detach().double() for network in networks)
    assert float(plain.std()) > 1e-4
    np.testing.assert_allclose(torch.logit(steep), 10.0 * torch.logit(plain), rtol=1e-3, atol=1e-4)
