"""The edit stage: what trains and what does not, gradients through CLIP, and its laws."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.dataset_update import DatasetUpdateStage
from emo_avatar.edit_config import PROFILES, EditConfig, resolve_edit_config
from emo_avatar.edit_stage import EditFrames, EditStage
from emo_avatar.edited_avatar import EditedAvatar
from emo_avatar.patch_discriminator import PatchDiscriminator
from emo_avatar.renderer import AvatarRenderer, DrivingBatch
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.state_file import load_state, save_state

SIZE = 32
FIT = EmoAvatarConfig(
    resolution_px=SIZE, texture_px=32, texture_levels=2, flow_px=64, flow_widths=(8, 8, 8, 8, 8), motion_width=16,
    encoder_width=8, encoder_max_width=16, skip_resolutions=(8, 16, 32), bf16=False, discriminator_width=8,
)  # fmt: skip
EDIT = EditConfig(
    steps=6, patches=6, patch_pool=24, frame_pool=4, lr=1e-2,
    moved_weight=10.0, stroke_weight=10.0, direction_weight=1.0, patch_every_steps=2,
)  # fmt: skip
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random CLIP in open_clip's format, opened as the edit stage opens one."""
    open_clip = pytest.importorskip("open_clip")
    from emo_avatar.clip_encoder import ClipEncoder
    from emo_bench.clip.model import find_clip

    folder: Path = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(**TINY_CLIP).state_dict(), folder / "open_clip_model.safetensors")
    config = {
        "model_cfg": TINY_CLIP,
        "preprocess_cfg": {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD)},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return ClipEncoder(find_clip(str(folder)), "cpu")


def avatar() -> AvatarRenderer:
    torch.manual_seed(0)
    shape = GeneratorConfig(
        img_resolution=SIZE, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, use_noise=False
    )
    generator = Generator(shape)
    pivots = generator.mapping(torch.randn(4, 8)).detach()
    made = AvatarRenderer(FIT, generator, pivots, torch.zeros(3, SIZE, SIZE))
    with torch.no_grad():
        for level in made.texture.levels:
            level.normal_()
    return made


def batch(frames: int = 4) -> DrivingBatch:
    """A square surface that moves by two pixels a frame."""
    torch.manual_seed(1)
    uv, masks = torch.zeros(frames, SIZE, SIZE, 2), torch.zeros(frames, 1, SIZE, SIZE)
    for frame in range(frames):
        steps = (torch.arange(SIZE) - 2 * frame) / SIZE
        uv[frame] = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        masks[frame, 0, 4 + 2 * frame : 22 + 2 * frame, 4 + 2 * frame : 22 + 2 * frame] = 1.0
    affine = torch.eye(2, 3).expand(frames, 2, 3).clone()
    return DrivingBatch(torch.rand(frames, 5 * 52), uv.clamp(0, 1), masks, affine, torch.full((frames, 4), 0.25))


def landmarks(frames: int = 4) -> torch.Tensor:
    """Sixty-eight points on a ring that moves with the surface of :func:`batch`."""
    turn = torch.arange(68) / 68 * 2 * torch.pi
    ring = 11.0 + 1.5 * torch.stack((turn.cos(), turn.sin()), dim=-1)
    return ring + 2.0 * torch.arange(frames)[:, None, None]


def stage(clip: Any, config: EditConfig = EDIT, reference: torch.Tensor | None = None, seed: int = 0) -> EditStage:
    made = avatar()
    torch.manual_seed(2)
    discriminator = PatchDiscriminator(width=8)
    picture = torch.rand(1, 3, SIZE, SIZE) * 2 - 1 if reference is None else reference
    frames = EditFrames.of(made, [batch()])

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ((a - b) ** 2).mean(dim=(1, 2, 3))

    found = None if clip is None else (clip, clip.size_px)
    return EditStage(made, discriminator, picture, frames, config, FIT, distance, found, seed, landmarks())


def test_only_the_skips_and_the_discriminator_change(clip: Any) -> None:
    editing = stage(clip)
    before = copy.deepcopy(editing.avatar.state_dict())
    clip_before = copy.deepcopy(clip.state_dict())
    critic_before = copy.deepcopy(editing.discriminator.state_dict())
    values = [editing.run_step() for _ in range(3)]
    every_step = {"l1", "moved", "strokes", "perceptual", "structure", "direction", "adversarial", "anchor"}
    every_step |= {"discriminator"}
    assert set(values[1]) == every_step
    assert set(values[0]) == set(values[2]) == every_step | {"patch", "matched_patch"}
    after = editing.avatar.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    limits = {"fusion.strokes.seen", "fusion.strokes.still"}
    skips = {name for name in before if name.startswith("fusion.")} - limits
    assert skips and changed == skips
    assert {n for n, p in editing.avatar.named_parameters() if p.requires_grad} == skips
    assert all(torch.equal(clip_before[name], tensor) for name, tensor in clip.state_dict().items())
    learned = [name for name, _ in editing.discriminator.named_parameters()]
    assert all(not torch.equal(critic_before[n], editing.discriminator.state_dict()[n]) for n in learned)


def only(**weights: float) -> EditConfig:
    none = dict.fromkeys(
        (
            "l1_weight",
            "perceptual_weight",
            "gan_weight",
            "anchor_weight",
            "structure_weight",
            "patch_weight",
            "matched_patch_weight",
            "moved_weight",
            "direction_weight",
            "stroke_weight",
        ),
        0.0,
    )
    return EDIT.model_copy(update={**none, **weights})


@pytest.mark.parametrize("term", ["patch_weight", "matched_patch_weight"])
def test_the_patch_loss_alone_trains_every_skip(clip: Any, term: str) -> None:
    """Through CLIP's features of the generated patches; a loss with constant keys would train nothing."""
    editing = stage(clip, only(**{term: 1.0}))
    before = {name: p.detach().clone() for name, p in editing.avatar.fusion.named_parameters()}
    first = editing.run_step()[term.removesuffix("_weight")]
    moved = [float((p.detach() - before[name]).abs().max()) for name, p in editing.avatar.fusion.named_parameters()]
    assert min(moved) > 0.0
    assert first > 0.0


def skips_of(editing: EditStage, *, strokes: bool) -> list[torch.Tensor]:
    named = editing.avatar.fusion.named_parameters()
    return [p.detach().clone() for name, p in named if name.startswith("strokes.") == strokes]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def test_pixels_alone_teach_strokes_and_strokes_teach_nothing_else(clip: Any) -> None:
    """Any other term would colour places that the reference does not show."""
    editing = stage(clip, only(stroke_weight=10.0))
    others, strokes = skips_of(editing, strokes=False), skips_of(editing, strokes=True)
    assert set(editing.run_step()) == {"l1", "strokes"}
    assert same(others, skips_of(editing, strokes=False))
    assert not same(strokes, skips_of(editing, strokes=True))
    editing = stage(clip, EDIT.model_copy(update={"stroke_weight": 1e-12}))
    editing.avatar.fusion.strokes.requires_grad_(False)  # type: ignore[union-attr]
    editing.run_step()
    assert not same(others, skips_of(editing, strokes=False))


def test_strokes_draw_what_the_other_skips_blur(clip: Any) -> None:
    """A pattern of dots of two pixels on a plain surface; both have the same steps."""
    torch.manual_seed(5)
    dots = ((torch.rand(1, 1, SIZE // 2, SIZE // 2) > 0.5).float() * 1.6 - 0.8).repeat_interleave(2, 2)
    dots = dots.repeat_interleave(2, 3).expand(1, 3, SIZE, SIZE).contiguous()

    def error(weight: float) -> float:
        config = only(l1_weight=10.0, stroke_weight=weight).model_copy(update={"steps": 60, "stroke_lr": 5e-2})
        editing = stage(clip, config, dots)
        for _ in range(60):
            editing.run_step()
        with torch.no_grad():
            image = editing.avatar(batch()).image[:1]
        return float((image - dots)[..., 10:18, 16:19].abs().mean())

    assert error(10.0) < 0.7 * error(0.0)


@pytest.mark.parametrize("weight", [10.0, 0.0])
def test_an_edit_is_loaded_with_the_strokes_that_it_has(clip: Any, weight: float, tmp_path: Path) -> None:
    editing = stage(clip, EDIT.model_copy(update={"stroke_weight": weight}))
    for _ in range(3):
        editing.run_step()
    save_file(editing.avatar.fusion.state_dict(), tmp_path / "checkpoint.safetensors")
    loaded = EditedAvatar.__new__(EditedAvatar)
    loaded.base = SimpleNamespace(config=FIT, fitted=lambda: (avatar(), np.zeros((4, 2))))  # type: ignore[assignment]
    loaded.workspace = Workspace(tmp_path, "cpu", 0)
    loaded.load()
    assert loaded._avatar is not None and (loaded._avatar.fusion.strokes is None) == (weight == 0.0)
    with torch.no_grad():
        assert torch.equal(loaded._avatar(batch()).image, editing.avatar.eval()(batch()).image)


def test_the_reference_is_learned_and_other_frames_follow(clip: Any) -> None:
    red = torch.tensor([0.9, -0.8, -0.8]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE).contiguous()
    editing = stage(clip, EDIT.model_copy(update={"steps": 40, "anchor_weight": 0.0}), red)
    first = editing.run_step()["l1"]
    for _ in range(39):
        last = editing.run_step()["l1"]
    assert last < 0.3 * first
    with torch.no_grad():
        others = editing.avatar(batch()).image[1:]
    assert float((others - red).abs().mean()) < 0.35 * first


def test_same_seed_same_edit(clip: Any) -> None:
    def edited(seed: int) -> torch.Tensor:
        editing = stage(clip, seed=seed)
        for _ in range(3):
            editing.run_step()
        return torch.cat([p.detach().flatten() for p in editing.avatar.fusion.parameters()])

    first = edited(0)
    assert torch.equal(first, edited(0))
    assert not torch.equal(first, edited(1))


def test_the_anchor_holds_the_skips(clip: Any) -> None:
    def distance(weight: float) -> float:
        editing = stage(clip, EDIT.model_copy(update={"anchor_weight": weight, "steps": 20}))
        before = skips_of(editing, strokes=False)
        for _ in range(20):
            editing.run_step()
        after = skips_of(editing, strokes=False)
        return sum(float(((p - q) ** 2).sum()) for p, q in zip(after, before, strict=True))

    assert distance(10.0) < 0.5 * distance(0.0)


def test_a_loss_that_is_not_finite_stops_in_one_line(clip: Any) -> None:
    editing = stage(clip)
    before = [p.detach().clone() for p in editing.avatar.fusion.parameters()]
    editing._reference = torch.full_like(editing._reference, float("nan"))
    with pytest.raises(UserError, match=r"stopped at step 0: l1.*not finite"):
        editing.run_step()
    assert all(torch.equal(p, q) for p, q in zip(editing.avatar.fusion.parameters(), before, strict=True))


def test_without_clip_and_patch_terms_it_still_edits() -> None:
    editing = stage(None, only(l1_weight=10.0))
    assert set(editing.run_step()) == {"l1"}


def test_literal_is_equation_3_and_settings_reach_every_field() -> None:
    literal = resolve_edit_config("cpu", "literal", {})
    assert (literal.temperature, literal.normalize, literal.structure_weight) == (1.0, False, 0.0)
    assert (literal.moved_weight, literal.direction_weight, literal.stroke_weight) == (0.0, 0.0, 0.0)
    assert not literal.hold_face and literal.patch_every_steps == 1
    usual = resolve_edit_config("cpu", "recommended", {})
    assert usual.hold_face and usual.stroke_weight > 0 and usual.structure_weight > 0
    assert resolve_edit_config("cpu", "literal", {"preset": "recommended"}).temperature == 0.07
    chosen = resolve_edit_config("cpu", "recommended", {"patch_shares": "0.2,0.3", "steps": "7", "normalize": "false"})
    assert (chosen.patch_shares, chosen.steps, chosen.normalize) == ((0.2, 0.3), 7, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colour": "red"}, r"--set edit\.colour"),
        ({"steps": "0"}, r"--set edit\.steps"),
        ({"preset": "best"}, r"edit\.preset=best"),
        ({"patch_shares": "1.5"}, r"edit\.patch_shares"),
        ({"patches": "500"}, r"edit\.patches=500"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        resolve_edit_config("cpu", "recommended", settings)
    assert "\n" not in str(error.value)


def test_features_of_clip_are_those_that_the_metric_sees(clip: Any) -> None:
    """The encoder with gradients and the metric's model agree on a picture that needs no resizing."""
    from emo_bench.clip.model import ClipModel

    picture = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    model = ClipModel.__new__(ClipModel)
    model._model, model._device, model._size = clip._model, "cpu", (16, 16)
    model._mean, model._deviation = clip.mean, clip.deviation
    ours = clip(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 127.5 - 1.0)
    unit = torch.nn.functional.normalize(ours, dim=1).double().numpy()
    np.testing.assert_allclose(unit, model.of_frames(picture), atol=1e-5)


def updating(steps: int = 40, update: Any = None, **changes: Any) -> DatasetUpdateStage:
    """The ablation's stage on four frames that were filmed grey; by default the editor paints everything red."""
    made = avatar()
    config = EDIT.model_copy(
        update={"supervision": "dataset-update", "update_every_steps": 2, "steps": steps, **changes}
    )
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, SIZE, SIZE)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ((a - b) ** 2).mean(dim=(1, 2, 3))

    frames, recorded = EditFrames.of(made, [batch()]), torch.zeros(4, 3, SIZE, SIZE)
    return DatasetUpdateStage(made, frames, recorded, update or (lambda *_: red), config, FIT, distance, 0)


def test_dataset_update_edits_one_frame_after_the_other() -> None:
    asked: list[tuple[int, int]] = []

    def update(rendering: torch.Tensor, position: int, seed: int) -> torch.Tensor:
        assert rendering.shape == (1, 3, SIZE, SIZE) and rendering.abs().max() <= 1.0
        assert not rendering.requires_grad
        asked.append((position, seed))
        return torch.full_like(rendering, position / 10)

    editing = updating(update=update)
    for _ in range(5):
        assert set(editing.run_step()) == {"l1", "perceptual", "anchor"}
    assert [position for position, _ in asked] == [0, 1, 2]
    assert len({seed for _, seed in asked}) == 3, "each edit has its own noise"
    assert editing.updates.tolist() == [1, 1, 1, 0]
    assert editing.summary() == "3 edits in 5 steps; each of the 4 frames was replaced 0 or 1 times"
    assert [float(picture.mean()) for picture in editing.data] == pytest.approx([0.0, 0.1, 0.2, 0.0])


def test_dataset_update_teaches_the_skips_alone_what_the_editor_paints() -> None:
    editing = updating(anchor_weight=0.0)
    before = copy.deepcopy(editing.avatar.state_dict())

    def redness() -> float:
        with torch.no_grad():
            images = editing.render(editing._frames.encoding)
        return float((images[:, 0] - images[:, 1:].mean(dim=1)).mean())

    start = redness()
    for _ in range(40):
        editing.run_step()
    assert redness() > start + 0.5
    changed = {name for name, value in editing.avatar.state_dict().items() if not torch.equal(before[name], value)}
    assert changed and all(name.startswith("fusion.") for name in changed)


def test_dataset_update_is_the_same_for_the_same_seed() -> None:
    runs = [updating(), updating()]
    values = [[editing.run_step() for _ in range(6)] for editing in runs]
    assert values[0] == values[1]


def test_dataset_update_continues_from_its_state_with_the_same_bits(tmp_path: Path) -> None:
    whole, first, second = updating(steps=8), updating(steps=8), updating(steps=8)
    ran = [whole.run_step() for _ in range(8)]
    begun = [first.run_step() for _ in range(5)]
    save_state(tmp_path / "update.pt", first.state())
    state = load_state(tmp_path / "update.pt")
    assert state is not None
    second.restore(state)
    assert [*begun, *(second.run_step() for _ in range(3))] == ran
    assert torch.equal(second.data, whole.data) and second.updates.tolist() == whole.updates.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("profile", PROFILES)
def test_dataset_update_replaces_every_frame_of_the_pool_three_times(profile: str) -> None:
    """Instruct-NeRF2NeRF trains until the frames agree; with fewer edits most of its targets stay unedited."""
    config = resolve_edit_config(profile, "recommended", {"supervision": "dataset-update"})
    edits = -(-config.steps // config.update_every_steps)
    assert edits >= 3 * (config.frame_pool + 1)
    usual = resolve_edit_config(profile, "recommended", {})
    assert config.steps > usual.steps and config.frame_pool == usual.frame_pool
    own = resolve_edit_config(profile, "recommended", {"supervision": "dataset-update", "steps": "12"})
    assert own.steps == 12
