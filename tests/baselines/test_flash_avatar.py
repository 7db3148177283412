"""FlashAvatar: places and rotations against the rig, the first colours, the whole on a few frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from baselines.camera import camera_at
from baselines.flash_avatar.avatar import FlashAvatarModel, OffsetNetwork, part_rotations
from baselines.flash_avatar.config import PROFILES, FlashAvatarConfig
from baselines.flash_avatar.fitting import FlashAvatarFit, colour_gaussians
from baselines.flash_avatar.frames import FlashFrames
from baselines.flash_avatar.method import FlashAvatar
from baselines.flash_avatar.quaternions import blended, from_rotation_vector, product
from baselines.flash_avatar.uv_grid import uv_grid
from baselines.point_avatar.rig_surface import frame_drive
from baselines.splatting.gaussians import Gaussians
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.runs.truth_clip import open_truth, truth_file
from emo_bench.runs.views import FILMED_VIEW, cameras_of, standpoint, viewed_track
from emo_bench.tracking.head_rig import REGIONS, load_head_rig
from protocols import load_protocol
from tests.baselines.splatting_reference import reference

TINY = {"resolution_px": "32", "uv_px": "32", "width": "16", "checkpoint_every_steps": "4"}


def method(folder: Path, **changed: str) -> FlashAvatar:
    folder.mkdir(exist_ok=True)
    return FlashAvatar(Workspace(folder, "smoke", seed=5, settings={**TINY, **changed}))


def model_of(**changed: object) -> FlashAvatarModel:
    """An untrained avatar of actor 1 on the mesh itself."""
    head = actors.load("1").track.head
    config = FlashAvatarConfig(**PROFILES["smoke"] | changed)
    size, flat = config.resolution_px, np.zeros(len(head.rest_vertices), np.float32)
    torch.manual_seed(0)
    plate = np.zeros((size, size, 3))
    return FlashAvatarModel(load_head_rig(), head.rest_vertices, head.joints, flat, plate, config, "cpu")


def test_the_grid_has_a_place_for_each_texel_of_every_part() -> None:
    rig, side = load_head_rig(), 64
    at = uv_grid(rig, side, "cpu")
    uv = np.einsum("nc,ncd->nd", at.barycentric.numpy(), rig.face_uv[at.face.numpy()])
    np.testing.assert_allclose(uv * side % 1.0, 0.5, atol=1e-3)
    texels = np.floor(uv * side).astype(int)
    assert len(np.unique(texels[:, 1] * side + texels[:, 0])) == len(texels)
    corners = rig.face_uv.astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    counts = np.bincount(rig.face_region[at.face.numpy()], minlength=len(REGIONS))
    shares = np.bincount(rig.face_region, area, len(REGIONS))
    np.testing.assert_allclose(counts, shares * side**2, rtol=0.05, atol=8)
    assert counts[REGIONS.index("mouth_cavity")] > 50


def test_quaternions_are_scipys() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(2, 20, 3))
    vectors[0, 0] = 0.0
    first, second = (Rotation.from_rotvec(v) for v in vectors)
    a, b = (from_rotation_vector(torch.from_numpy(v)) for v in vectors)
    found = Rotation.from_quat(product(a, b).numpy(), scalar_first=True)
    np.testing.assert_allclose(found.as_matrix(), (first * second).as_matrix(), atol=1e-12)
    halfway = blended(torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.stack((b[3], -a[3])))
    middle = Rotation.from_quat(halfway.numpy(), scalar_first=True)[0]
    wanted = Rotation.concatenate([first[3], second[3]]).mean()
    np.testing.assert_allclose(middle.as_matrix(), wanted.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.02, -0.01, 0.1)])
def test_untrained_gaussians_lie_on_the_tracked_mesh(shift: tuple[float, float, float]) -> None:
    rig, track = load_head_rig(), actors.load("1").track
    track.torso_shift[200] = shift
    try:
        model, at = model_of(), uv_grid(rig, 40, "cpu")
        with torch.no_grad():
            found = model.gaussians(frame_drive(rig, track, 200, "cpu"))
        corners = track.vertices(200)[rig.faces[at.face.numpy()]]
        expected = np.einsum("nc,ncd->nd", at.barycentric.numpy(), corners)
        gap = np.linalg.norm(found.mean.numpy() - expected, axis=1)
        # Skinning weights blend matrices, which is not linear along a triangle.
        assert np.quantile(gap, 0.99) < 3e-4, np.quantile(gap, [0.5, 0.9, 0.99, 1.0])
    finally:
        track.torso_shift[200] = 0.0


def test_gaussians_turn_with_the_parts_of_the_rig() -> None:
    rig, track = load_head_rig(), actors.load("1").track
    for index in (0, 200, 300):
        drive = frame_drive(rig, track, index, "cpu")
        turns = Rotation.from_quat(part_rotations(drive).numpy(), scalar_first=True)
        posed, rest = track.vertices(index), track.head.rest_vertices
        torso = np.unique(rig.faces[rig.face_region == REGIONS.index("torso")])
        rigid = torso[rig.skin_weights[torso, 0] > 0.999]
        wanted, _ = Rotation.align_vectors(posed[rigid] - posed[rigid].mean(0), rest[rigid] - rest[rigid].mean(0))
        assert np.degrees((turns[0] * wanted.inv()).magnitude()) < 0.5
        # The sockets move with the head and hardly with the expression.
        sockets = [REGIONS.index(name) for name in ("socket_left", "socket_right")]
        both = np.unique(rig.faces[np.isin(rig.face_region, sockets)])
        wanted, _ = Rotation.align_vectors(posed[both] - posed[both].mean(0), rest[both] - rest[both].mean(0))
        assert np.degrees((turns[2] * wanted.inv()).magnitude()) < 4.0


def test_the_network_starts_at_zero_and_follows_the_expression() -> None:
    torch.manual_seed(0)
    network = OffsetNetwork(51, FlashAvatarConfig())
    places, expression = torch.randn(7, 51), torch.rand(1, 52)
    assert not any(out.any() for out in network(places, expression))
    torch.nn.init.normal_(network.last.weight, std=5.0)
    first, second = network(places, expression), network(places, 1.0 - expression)
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert float(first[2].detach().abs().max()) <= 1.0


def covariances(gaussians: Gaussians) -> np.ndarray:
    turn = Rotation.from_quat(gaussians.rotation.numpy(), scalar_first=True).as_matrix()
    axes = turn * gaussians.scale.numpy()[:, None, :]
    return np.asarray(axes @ axes.transpose(0, 2, 1))


@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(-30.0, 0.0), (30.0, 0.0), (0.0, 15.0)])
def test_another_camera_sees_the_gaussians_that_the_filming_camera_sees(yaw_deg: float, pitch_deg: float) -> None:
    """The Gaussians of the filmed track are moved to the camera by hand, and drawn by the definition in float64."""
    rig, track, model = load_head_rig(), actors.load("1").track, model_of()
    torch.nn.init.normal_(model.network.last.weight, std=0.01)
    for values in (model.rotation, model.scale, model.colour):
        values.data.add_(0.3 * torch.randn_like(values))
    there = standpoint(track, yaw_deg, pitch_deg)
    with torch.no_grad():
        filmed = model.gaussians(frame_drive(rig, track, 200, "cpu"))
        seen_track = viewed_track(track, [there], landmarks=False)
        drive = frame_drive(rig, seen_track, 200, "cpu")
        seen, drawn = model.gaussians(drive), model(drive, camera_at(seen_track, 64))
    moved = (filmed.mean.numpy().astype(np.float64) - there.place) @ there.turn.T
    np.testing.assert_allclose(seen.mean.numpy(), moved, atol=2e-6)
    expected = there.turn @ covariances(filmed).astype(np.float64) @ there.turn.T
    np.testing.assert_allclose(covariances(seen), expected, atol=1e-4 * np.abs(expected).max())
    turned = Rotation.from_matrix(there.turn) * Rotation.from_quat(filmed.rotation.numpy(), scalar_first=True)
    camera = camera_at(track, 64)
    colour, opacity = reference(
        torch.from_numpy(moved), filmed.scale.double(), torch.from_numpy(turned.as_quat(scalar_first=True)),
        filmed.opacity.double(), filmed.colour.double(),
        focal=camera.focal_px, center=camera.center_px, size=(64, 64),
    )  # fmt: skip
    assert 0.2 < float((opacity > 0.9).double().mean()) < 0.9
    # Where two Gaussians are equally far away, rounding can decide which is in front.
    for ours, wanted in ((drawn.colour, colour), (drawn.opacity, opacity)):
        gap = (ours.double() - wanted).detach().abs()
        assert float(gap.mean()) < 1e-4 and float((gap > 1e-2).double().mean()) < 1e-2, (gap.mean(), gap.max())


def frames_of(picture: torch.Tensor, model: FlashAvatarModel) -> FlashFrames:
    size = model.config.resolution_px
    frames = FlashFrames(actors.load("1"), [0, 300], load_head_rig(), size, "cpu")
    frames._pictures[:] = (picture * 255).to(torch.uint8).numpy()
    return frames


def test_gaussians_start_with_the_colours_that_they_cover() -> None:
    model = model_of(first_colours=2)
    picture = torch.zeros(64, 64, 3)
    picture[:32], picture[32:] = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.8, 0.4, 0.2])
    frames, camera = frames_of(picture, model), camera_at(actors.load("1").track, 64)
    frames._masks[:] = True
    colour_gaussians(model, frames, camera)
    drawn = model(frames.row(0).drive, camera)
    full = drawn.opacity > 0.9
    for rows in (slice(0, 26), slice(38, 64)):
        inside = full[rows]
        assert inside.sum() > 100
        colour = drawn.colour[rows][inside] / drawn.opacity[rows][inside][:, None]
        assert float((colour - picture[rows][inside]).detach().abs().mean()) < 0.03
    frames._masks[:] = False
    with pytest.raises(UserError, match="no Gaussian lies in the foreground masks"):
        colour_gaussians(model, frames, camera)


def test_the_mouth_counts_more_and_lies_between_chin_and_nose() -> None:
    model, track = model_of(mouth_weight=1.0), actors.load("1").track
    frames, camera = frames_of(torch.zeros(64, 64, 3), model), camera_at(track, 64)
    for row, index in enumerate(frames.indices):
        y, x = np.nonzero(frames.row(row).mouth.numpy())
        marks = track.landmarks478[index] * 64 / track.size_px
        assert abs(x.mean() + 0.5 - marks[[61, 291], 0].mean()) < 2.0
        assert marks[1, 1] - 1 < y.mean() < marks[152, 1] + 1
    fitting = FlashAvatarFit(model, frames, camera, model.config, None, 0)
    losses = {name: float(loss.detach()) for name, loss in fitting._losses(frames.row(0)).items()}
    assert 0.0 < losses["mouth"] < losses["huber"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FlashAvatar, Capture, list[int]]:
    capture = actors.load("1")
    train = [0, 150, 300, 450]
    avatar = method(tmp_path_factory.mktemp("fitted"), steps="100")
    avatar.fit(capture.restricted(train), train)
    return avatar, capture, train


def test_it_learns_a_few_frames(fitted: tuple[FlashAvatar, Capture, list[int]]) -> None:
    avatar, capture, train = fitted
    truth = np.stack(list(capture.frames(train, size=32))).astype(float)
    rendered = np.stack(list(avatar.render(capture.restricted(()), train)))
    error = np.square(rendered - truth).mean()
    playing_mean = np.square(truth.mean(axis=0) - truth).mean()
    assert error < 0.3 * playing_mean, (error, playing_mean)
    other = FlashAvatar(avatar.workspace)
    other.load()
    np.testing.assert_array_equal(next(iter(other.render(capture.restricted(()), [150]))), rendered[1])


def test_frames_of_other_cameras_are_the_studios(fitted: tuple[FlashAvatar, Capture, list[int]]) -> None:
    """Each rendering is nearer to the studio's picture of its own camera than all renderings of other cameras."""
    avatar, capture, _ = fitted
    assert "novel-view" in avatar.info.capabilities
    views = load_protocol("novel_view").views
    assert views is not None
    cameras, frames, count = cameras_of(capture.track, views), (1000, 1116), len(capture)
    seen = capture.restricted(())
    seen.__dict__["track"] = viewed_track(capture.track, [*cameras, FILMED_VIEW], landmarks=False)
    numbers = [count * place + i for place in range(len(cameras) + 1) for i in frames]
    rendered = np.stack(list(avatar.render(seen, numbers))).astype(float).reshape(len(cameras) + 1, len(frames), -1)
    truth = np.stack(list(open_truth(truth_file("1-views")).frames(numbers[: -len(frames)], size=32))).astype(float)
    for place, pictures in enumerate(truth.reshape(len(cameras), len(frames), -1)):
        errors = np.square(rendered - pictures).mean(axis=(1, 2))
        assert errors.argmin() == place and errors[place] < 0.7 * np.delete(errors, place).min(), (place, errors)


@pytest.mark.parametrize("background", ["plate", "white"])
def test_stopped_and_gone_on_equals_not_stopped(
    background: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    train = list(range(0, 40, 10))
    capture = actors.load("1").restricted(train)
    changed = {"steps": "10", "background": background}
    method(tmp_path / "whole", **changed).fit(capture, train)
    step = FlashAvatarFit.run_step

    def dies(self: FlashAvatarFit) -> dict[str, float]:
        if self.step == 6:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(FlashAvatarFit, "run_step", dies)
        with pytest.raises(KeyboardInterrupt):
            method(tmp_path / "parts", **changed).fit(capture, train)
    avatar = method(tmp_path / "parts", **changed)
    avatar.fit(capture, train)
    whole, parts = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    corner = next(iter(avatar.render(capture.restricted(()), [0])))[0, 0]
    assert (corner == 255).all() == (background == "white")


def test_the_paper_profile_has_the_published_sizes() -> None:
    config = FlashAvatarConfig(**PROFILES["paper"])
    assert len(uv_grid(load_head_rig(), config.uv_px, "cpu").face) > 0.7 * 128**2
    network = OffsetNetwork(3 + 3 * 2 * config.frequencies, config)
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    # The first layer has two parts: one for the place and one for the expression.
    assert [layer.in_features for layer in layers] == [51, 52, 256, 256, 256, 256, 256, 256]
    assert config.perceptual_start * config.steps == 15000
