"""Fits that share their init give the avatar of a fit that did it itself, bit for bit; an edit by dataset update."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.dataset_update import DatasetUpdateStage
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.actors import load
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle, Workspace
from emo_bench.methods.picture_editor import EditorSettings, ReferenceEditor
from emo_bench.methods.reference_editors import EDITORS
from emo_bench.runs import runner
from emo_bench.runs.editing import open_method
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.plan import RunRequest, plan_run

QUICK = {
    "resolution_px": "32", "skip_resolutions": "8,16,32", "projection_steps": "6", "tuning_steps": "4", "steps": "4",
    "checkpoint_every_steps": "2", "max_train_frames": "8", "texture_px": "32", "flow_widths": "8,8,8,8,8",
    "gan_start_step": "2",
}  # fmt: skip


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory, quick_protocol_text: str):  # type: ignore[no-untyped-def]
    """Requests of quick fits on the first actor, by folder, further settings and whether the runs share a cache."""
    folder = tmp_path_factory.mktemp("sharing")
    (folder / "quick.toml").write_text(quick_protocol_text)
    torch.manual_seed(0)
    shape = GeneratorConfig(
        img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, use_noise=True
    )
    save_stylegan2(folder / "prior.safetensors", Generator(shape))

    def make(runs: str, settings: dict[str, str], shared: bool = False, seed: int = 0) -> RunRequest:
        return RunRequest(
            "emo-avatar", "1", str(folder / "quick.toml"), profile="smoke", runs_dir=folder / runs, device="cpu",
            settings={**QUICK, "prior": str(folder / "prior.safetensors"), **settings}, seed=seed,
            cache=folder / runs / "cache" if shared else None,
        )  # fmt: skip

    return make


def test_a_shared_init_is_not_run_and_changes_nothing(request_of, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    ours = runner.run(request_of("shared", {}, shared=True), trivial=False)[0]
    alone = runner.run(request_of("alone", {"freeze_stylegan": "false"}), trivial=False)[0]
    before = (ours / "init.pt").read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("a step of the inversion was taken")

    monkeypatch.setattr("emo_avatar.inversion._Run.step", refuse)
    taken = runner.run(request_of("shared", {"freeze_stylegan": "false"}, shared=True), trivial=False)[0]
    assert read_manifest(taken)["described"]["shared_stages"] == {
        "init": ours.relative_to(ours.parents[4] / "shared").as_posix()
    }
    assert "shared_stages" not in read_manifest(ours)["described"]
    assert "shared_stages" not in read_manifest(alone)["described"]
    mine, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (alone, taken))
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert not torch.equal(
        mine["generator.synthesis.b4.const"], load_file(ours / "checkpoint.safetensors")["generator.synthesis.b4.const"]
    ), "the variant trained what Ours froze"
    hashes = [load_run(f).manifest["stages"]["render"]["frames_sha256"] for f in (alone, taken)]
    assert hashes[0] == hashes[1]
    assert (ours / "init.pt").read_bytes() == before
    seconds = [read_manifest(f)["described"]["stage_seconds"] for f in (ours, taken)]
    assert all(set(entry) == {"init", "render"} and entry["render"] > 0 for entry in seconds)
    assert seconds[1]["init"] >= seconds[0]["init"], "the time of the shared stage is charged"


def test_another_init_is_not_taken_over(request_of) -> None:  # type: ignore[no-untyped-def]
    ours = runner.run(request_of("other", {}, shared=True), trivial=False)[0]
    cache = request_of("other", {}, shared=True).cache
    others = [
        request_of("other", {"pivot_choice": "random"}, shared=True),
        request_of("other", {"max_train_frames": "9"}, shared=True),
        request_of("other", {}, shared=True, seed=1),
    ]
    for number, request in enumerate(others, start=2):
        folder = runner.run(request, trivial=False)[0]
        assert "shared_stages" not in read_manifest(folder)["described"]
        assert (folder / "init.pt").read_bytes() != (ours / "init.pt").read_bytes()
        assert len(list(cache.glob("init-*.json"))) == number, "each init has a key of its own"


def test_a_damaged_cache_changes_nothing(request_of, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    request = request_of("damaged", {}, shared=True)
    ours = runner.run(request, trivial=False)[0]
    (stored,) = request.cache.glob("*.pt")
    sound = stored.read_bytes()
    stored.unlink()
    stored.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    again = runner.run(request_of("damaged", {"freeze_stylegan": "false"}, shared=True), trivial=False)[0]
    assert f"{stored} is missing or damaged: the stage is done again" in caplog.text
    assert "shared_stages" not in read_manifest(again)["described"]
    assert (again / "init.pt").read_bytes() == sound == (ours / "init.pt").read_bytes()
    assert stored.read_bytes() == sound, "the sound result takes the damaged one's place"


class RedEditor(ReferenceEditor):
    """Paints the left half of what it is given red."""

    settings_model = EditorSettings
    can_update = True

    @classmethod
    def missing(cls, settings: EditorSettings) -> None:
        return None

    def edit(self, picture_u8: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        return self.update(picture_u8, picture_u8, instruction, seed)

    def update(self, rendering_u8: np.ndarray, recorded_u8: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        assert rendering_u8.shape == recorded_u8.shape and rendering_u8.dtype == recorded_u8.dtype == np.uint8
        made = rendering_u8.copy()
        made[:, : made.shape[1] // 2] = (255, 0, 0)
        return made


def test_an_edit_by_dataset_update_goes_through_the_method(
    request_of, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(EDITORS, "red", RedEditor)
    folder = runner.run(request_of("shared", {}), trivial=False)[0]
    base, _ = open_method(folder, "cpu")
    settings = {
        "supervision": "dataset-update",
        "update_every_steps": "1",
        "steps": "60",
        "frame_pool": "4",
        "lr": "0.02",
        "anchor_weight": "0",
    }
    workspace = Workspace(tmp_path, "smoke", 0, "cpu", settings)
    style = EditStyle("red", "a photo", "a red photo", "paint it red", "red")
    edited = base.edit(style, workspace)
    capture, train = load("1"), list(range(0, 80, 10))
    edited.fit(capture.restricted(train), train)
    before, after = (next(iter(m.render(capture.restricted(()), [100]))).astype(int) for m in (base, edited))
    redness = [picture[:, :16, 0].mean() - picture[:, :16, 1:].mean() for picture in (before, after)]
    assert redness[1] > redness[0] + 40
    with Image.open(tmp_path / "reference.png") as picture:
        assert (np.asarray(picture)[:, :64] == (255, 0, 0)).all()
    with Image.open(tmp_path / "dataset.png") as picture:
        assert (np.asarray(picture)[:8, :8] == (255, 0, 0)).all(), "the frames as they were trained on last"
    assert not list(tmp_path.glob("update-*.pt"))
    again = base.edit(style, workspace)
    again.load()
    np.testing.assert_array_equal(next(iter(again.render(capture.restricted(()), [100]))), after)


def test_an_interrupted_edit_by_dataset_update_continues(
    request_of, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """It takes many times as long as another edit: the killed one has the frames of one that was not."""
    monkeypatch.setitem(EDITORS, "red", RedEditor)
    monkeypatch.setattr("emo_avatar.edited_avatar.UPDATE_CHECKPOINT_STEPS", 3)
    base, _ = open_method(runner.run(request_of("shared", {}), trivial=False)[0], "cpu")
    capture, train = load("1"), list(range(0, 80, 10))
    style = EditStyle("red", "a photo", "a red photo", "paint it red", "red")
    settings = {"supervision": "dataset-update", "steps": "8", "frame_pool": "4", "update_every_steps": "2"}
    edits = [base.edit(style, Workspace(tmp_path / name, "smoke", 0, "cpu", settings)) for name in ("whole", "killed")]
    for edit in edits:
        edit.workspace.folder.mkdir()
    edits[0].fit(capture.restricted(train), train)
    step, taken = DatasetUpdateStage.run_step, []

    def killed(stage: DatasetUpdateStage) -> dict[str, float]:
        taken.append(stage.step)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return step(stage)

    monkeypatch.setattr(DatasetUpdateStage, "run_step", killed)
    with pytest.raises(KeyboardInterrupt):
        edits[1].fit(capture.restricted(train), train)
    edits[1].fit(capture.restricted(train), train)
    assert taken == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7], "it continues from the state of step 3"
    one, other = ((edit.workspace.folder / "checkpoint.safetensors").read_bytes() for edit in edits)
    assert one == other


class MovingEditor(ReferenceEditor):
    """Moves everything to the right by 5 of 256 px and makes it darker."""

    settings_model = EditorSettings

    @classmethod
    def missing(cls, settings: EditorSettings) -> None:
        return None

    def edit(self, picture_u8: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        return np.roll(picture_u8, 5, axis=1) // 2


class RedrawingEditor(MovingEditor):
    """The same, as an editor that is not meant to move a face."""

    redraws_features = True


@pytest.mark.parametrize(
    ("editor", "hold_face", "held"),
    [(RedrawingEditor, "true", True), (RedrawingEditor, "false", False), (MovingEditor, "true", False)],
)
def test_a_restyled_reference_keeps_the_features_of_the_face(
    editor: type[ReferenceEditor], hold_face: str, held: bool, request_of, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    monkeypatch.setitem(EDITORS, "moving", editor)
    folder = runner.run(request_of("shared", {}), trivial=False)[0]
    base, _ = open_method(folder, "cpu")
    settings = {"steps": "1", "patch_weight": "0", "matched_patch_weight": "0", "hold_face": hold_face}
    edited = base.edit(EditStyle("m", "a", "b", "c", "moving"), Workspace(tmp_path, "smoke", 0, "cpu", settings))
    capture, train = load("1"), list(range(0, 80, 20))
    edited.fit(capture.restricted(train), train)
    source, reference = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("source", "reference"))
    made = np.roll(source, 5, axis=1) // 2
    assert np.array_equal(reference, made) is not held
    eyes = load("1").track.landmarks68[train][:, 36:48].mean(axis=0).astype(int)
    face = np.s_[eyes[:, 1].min() - 12 : eyes[:, 1].max() + 13, eyes[:, 0].min() - 6 : eyes[:, 0].max() + 7]
    likeness = np.corrcoef(reference[face].ravel(), source[face].ravel())[0, 1]
    assert likeness > 0.9 if held else likeness < 0.85


def test_dataset_update_needs_an_editor_that_can(request_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    base = plan_run(request_of("shared", {})).method
    workspace = Workspace(tmp_path, "smoke", 0, "cpu", {"supervision": "dataset-update"})
    style = EditStyle("x", "a", "b", "c", "styletransfer")
    with pytest.raises(UserError, match="whose editor is instruct-pix2pix"):
        base.edit(style, workspace)
