"""An edited Emo-Avatar as a method: its fit is the edit stage, and it renders as the avatar does."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from emo_avatar.clip_encoder import ClipEncoder
from emo_avatar.config import INFO, PROFILES, EmoAvatarConfig
from emo_avatar.dataset_update import DatasetUpdateStage
from emo_avatar.driving import DrivingSignals, landmarks_px, rendered
from emo_avatar.edit_config import DATASET_UPDATE, EditConfig, resolve_edit_config
from emo_avatar.edit_stage import EditFrames, EditStage
from emo_avatar.held_face import with_held_face
from emo_avatar.patch_discriminator import PatchDiscriminator
from emo_avatar.prior import sha256_of
from emo_avatar.renderer import AvatarRenderer
from emo_avatar.stroke_skip import StrokeSkip
from emo_bench.actors.capture import Capture, resize_area
from emo_bench.clip.model import ClipSource, find_clip
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle, Method, MethodInfo, Workspace
from emo_bench.methods.reference_editors import open_editor
from emo_bench.methods.training.fitted import CHECKPOINT, REMEDY, save_tensors
from emo_bench.methods.training.frames import evenly_spaced, to_frames_u8, to_unit_range
from emo_bench.methods.training.loop import run_steps, run_training
from emo_bench.methods.training.state_file import load_state
from emo_bench.perceptual import perceptual_loss
from emo_bench.untrusted.refusal import reading
from emo_bench.untrusted.safetensors_file import read_safetensors
from emo_bench.video.sheets import save_sheet

ENCODE_BATCH = 8
SHEET_FRAMES = 8
UPDATE_CHECKPOINT_STEPS = 50
SHOWN_SETTINGS = ("steps", "text_scale", "image_scale", "size_px")

log = logging.getLogger("emo_bench")


class FittedAvatar(Protocol):
    """The parts of the fitted avatar that an edit needs; :class:`emo_avatar.method.EmoAvatar` has them."""

    workspace: Workspace
    config: EmoAvatarConfig
    resolution_px: int

    def fitted(self) -> tuple[AvatarRenderer, np.ndarray]:
        """Return the avatar, loaded if needed, and the poses ``[K, 2]`` (yaw, pitch, degrees) of its pivots."""
        ...


class EditedAvatar(Method):
    """The edit of a fitted avatar by one reference picture (paper 3.3).

    An edit takes a minute in ``cpu`` and five in ``paper``, so an interrupted edit starts again. By dataset update it
    takes many times as long, and continues. Files in the workspace: ``source.png`` and ``reference.png`` (the frame
    and the reference), ``checkpoint.safetensors`` (the edited skip connections), ``train.csv`` (losses),
    ``train.png`` (reference; frames before; frames after), ``dataset.png`` (by dataset update: frames as they were
    trained on last).

    Args:
        workspace: the workspace of the edit; settings are fields of :class:`EditConfig`, or ``preset``.
        base: the fitted avatar.
        style: the style of the edit.

    Raises:
        UserError: a setting, the editor or the CLIP model is not there; raised before any work.
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = INFO

    def __init__(self, workspace: Workspace, base: FittedAvatar, style: EditStyle) -> None:
        super().__init__(workspace)
        self.base, self.style = base, style
        self.resolution_px = base.resolution_px
        self.config: EditConfig = resolve_edit_config(workspace.profile, base.config.preset, workspace.settings)
        self._editor = open_editor(style.editor, style.editor_settings, workspace.device)
        if self.config.supervision == DATASET_UPDATE and not self._editor.can_update:
            raise UserError(
                f"editor {style.editor} edits a picture once: edit.supervision=dataset-update goes with a style whose "
                "editor is instruct-pix2pix with its own pipeline"
            )
        self._clip: ClipSource | None = find_clip(self.config.clip) if self._needs_clip() else None
        self._avatar: AvatarRenderer | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles of the avatar."""
        return tuple(PROFILES)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Edit one frame, then train the skip connections towards it; the log gives the time of each part."""
        folder, device = self.workspace.folder, self.workspace.device
        clock = _Clock()
        for line in self._told():
            log.info("%s", line)
        train = evenly_spaced(train, self.base.config.max_train_frames).tolist()
        base, poses = self.base.fitted()
        reference_frame, others = self._choose_frames(train)
        reference = self._make_reference(capture, reference_frame).to(device)
        clock.lap("reference")
        signals = DrivingSignals(capture, self.base.config, poses)
        indices = [reference_frame, *others]
        batches = [
            signals.batch(indices[start : start + ENCODE_BATCH], device)
            for start in range(0, len(indices), ENCODE_BATCH)
        ]
        avatar = copy.deepcopy(base)
        stage = self._stage(avatar, EditFrames.of(avatar, batches), reference, capture, indices)
        clock.lap("preparation")
        label, shown = f"emo-avatar: edit, {self.style.name}", ("l1",)
        if isinstance(stage, EditStage):
            run_steps(stage, folder, self.config.steps, label, shown=shown)
        else:
            # A state is of one fit: after another fit the edit begins anew.
            state = f"update-{sha256_of(self.base.workspace.folder / CHECKPOINT)[:12]}.pt"
            run_training(
                stage, folder, self.config.steps, UPDATE_CHECKPOINT_STEPS, label, state_name=state, shown=shown
            )
            log.info("dataset update: %s", stage.summary())
            save_sheet(folder / "dataset.png", [stage.shown_data(SHEET_FRAMES)])
        clock.lap("training")
        self._avatar = avatar.eval()
        _save_skips(avatar, folder / CHECKPOINT)
        self._save_sheet(base, signals, reference, others)
        for path in folder.glob("update-*.pt"):
            path.unlink()
        clock.lap("saving")
        log.info("edit of frame %d: %s", reference_frame, clock)

    def _stage(
        self, avatar: AvatarRenderer, frames: EditFrames, reference: Tensor, capture: Capture, indices: list[int]
    ) -> EditStage | DatasetUpdateStage:
        """Return the training that the configuration asks for; ``frames`` are those at ``indices``."""
        perceptual = perceptual_loss(self.base.config.perceptual, self.workspace.device)
        if self.config.supervision == "reference":
            return EditStage(
                avatar, self._load_discriminator(), reference, frames, self.config, self.base.config, perceptual,
                self._open_clip(), self.workspace.seed, landmarks_px(capture, indices, self.resolution_px),
            )  # fmt: skip
        recorded = np.stack(list(capture.frames(indices, size=self.resolution_px)))

        def update(rendering: Tensor, position: int, seed: int) -> Tensor:
            made = self._editor.update(to_frames_u8(rendering)[0], recorded[position], self.style.instruction, seed)
            return to_unit_range(made.transpose(2, 0, 1)[None].copy()).to(rendering.device)

        data = to_unit_range(recorded.transpose(0, 3, 1, 2).copy()).to(self.workspace.device)
        return DatasetUpdateStage(
            avatar, frames, data, update, self.config, self.base.config, perceptual, self.workspace.seed
        )

    def _needs_clip(self) -> bool:
        if self.config.supervision != "reference":
            return False
        terms = (self.config.patch_weight, self.config.matched_patch_weight, self.config.direction_weight)
        return any(weight > 0 for weight in terms)

    def _choose_frames(self, train: Sequence[int]) -> tuple[int, list[int]]:
        """Return the frame that is edited, chosen by the seed, and the other frames, evenly spaced."""
        chosen = self.config.reference_frame
        if chosen is None:
            rng = np.random.default_rng(self.workspace.seed)
            chosen = int(train[int(rng.integers(len(train)))])
        elif chosen not in set(train):
            raise UserError(f"--set edit.reference_frame={chosen}: it must be a frame that the avatar was fitted on")
        spread = evenly_spaced(train, self.config.frame_pool)
        return chosen, [int(i) for i in spread if int(i) != chosen]

    def _make_reference(self, capture: Capture, index: int) -> Tensor:
        """Edit the frame at the capture's size and resize it to the avatar's: ``[1, 3, R, R]`` in [-1, 1]."""
        frame = next(iter(capture.frames([index])))
        edited = self._editor.edit(frame, self.style.instruction, self.workspace.seed)
        if self.config.hold_face and self._editor.redraws_features:
            edited = with_held_face(edited, frame, capture.track.landmarks68[index])
        save_sheet(self.workspace.folder / "source.png", [[frame]])
        save_sheet(self.workspace.folder / "reference.png", [[edited]])
        small = resize_area(edited, self.resolution_px)
        return to_unit_range(small.transpose(2, 0, 1)[None].copy())

    def _load_discriminator(self) -> PatchDiscriminator:
        path = self.base.workspace.folder / "render.pt"
        state = load_state(path, last=True)
        if state is None:
            raise UserError(
                f"{path} is missing or damaged, and the edit needs its discriminator: remove {CHECKPOINT} beside it "
                "and give the run command again"
            )
        discriminator = PatchDiscriminator(width=self.base.config.discriminator_width)
        with reading(path, "state of a fit", "; fit the avatar again"):
            discriminator.load_state_dict(state["discriminator"])
        return discriminator.to(self.workspace.device)

    def _open_clip(self) -> tuple[ClipEncoder, int] | None:
        if self._clip is None:
            return None
        encoder = ClipEncoder(self._clip, self.workspace.device)
        return encoder, encoder.size_px

    @torch.inference_mode()
    def _save_sheet(
        self, base: AvatarRenderer, signals: DrivingSignals, reference: Tensor, others: Sequence[int]
    ) -> None:
        assert self._avatar is not None
        shown = [int(i) for i in evenly_spaced(others, SHEET_FRAMES)]
        device = self.workspace.device
        rows = [list(rendered(avatar, signals, shown, device)) for avatar in (base, self._avatar)]
        made = to_frames_u8(reference)[0]
        save_sheet(self.workspace.folder / "train.png", [[made, *row] for row in rows])

    @torch.inference_mode()
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._avatar is None:
            self.load()
        assert self._avatar is not None
        _, poses = self.base.fitted()
        signals = DrivingSignals(capture, self.base.config, poses, keep_uv=False)
        yield from rendered(self._avatar, signals, indices, self.workspace.device)

    def load(self) -> None:
        """Load the edited skip connections into a copy of the avatar."""
        path = self.workspace.folder / CHECKPOINT
        if not path.exists():
            raise UserError(f"{path} is missing: run the edit first")
        base, _ = self.base.fitted()
        avatar = copy.deepcopy(base)
        tensors, _ = read_safetensors(path, "edited avatar", REMEDY)
        if any(name.startswith("strokes.") for name in tensors):
            config = self.base.config
            avatar.fusion.strokes = StrokeSkip(config.texture_px, config.resolution_px).to(self.workspace.device)
        try:
            avatar.fusion.load_state_dict(tensors)
        except RuntimeError as error:
            raise UserError(f"{path} belongs to another avatar: remove its folder and run again") from error
        self._avatar = avatar.eval()

    def describe(self) -> dict[str, object]:
        """Describe the edit's configuration, and the SHA-256 of the avatar, CLIP, the editor and a reference file."""
        hashes = {"avatar": sha256_of(self.base.workspace.folder / CHECKPOINT)}
        if self._clip is not None:
            hashes[f"clip {self._clip.name}"] = self._clip.sha256
        picture = self.style.editor_settings.get("image")
        if picture is not None:
            hashes["reference picture"] = sha256_of(Path(picture))
        hashes |= {f"editor {name}": sha256 for name, sha256 in self._editor.weights().items()}
        config = self.config.model_dump(mode="json")
        # Edits by editors without weights keep the identity that they had before there was this entry.
        if resolved := self._editor.resolved():
            config["editor"] = resolved
        return {"config": config, "assets": hashes, "flags": self._told()}

    def _told(self) -> list[str]:
        """Return a sentence on the weights of the editor, for the log and the report; none if it has no weights."""
        settings = self._editor.resolved()
        numbers = ", ".join(f"{key} {settings[key]:g}" for key in SHOWN_SETTINGS if key in settings)
        return [
            f"editor {self.style.editor} edits with the weights {name} (SHA-256 {sha256[:12]}; {numbers})"
            for name, sha256 in self._editor.weights().items()
        ]


class _Clock:
    """The seconds of each part of the work, in order."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._laps: list[str] = []

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps.append(f"{name} {now - self._last:.1f} s")
        self._last = now

    def __str__(self) -> str:
        return ", ".join(self._laps)


def _save_skips(avatar: AvatarRenderer, path: Path) -> None:
    save_tensors(path, avatar.fusion.state_dict())
