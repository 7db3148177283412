"""InstructPix2Pix (Brooks et al. 2023) on each frame by itself, the row "Ip2p" of the paper's table 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from baselines.clip_sizes import clip_px
from emo_bench.methods.diffusion_memory import DESCRIPTION, Memory
from emo_bench.methods.diffusion_pipelines import other_weights, required_pipeline
from emo_bench.methods.interface import (
    GPU_PROFILE,
    PAPER_PROFILE,
    SMOKE_PROFILE,
    Clip,
    EditStyle,
    MethodInfo,
    VideoEditor,
    Workspace,
)
from emo_bench.methods.kept_frames import edit_in_batches
from emo_bench.methods.pix2pix_models import PAPER_MODEL
from emo_bench.methods.reference_editors import InstructPix2PixEditor, open_editor
from emo_bench.methods.settings import BatchSize, MethodSettings, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDITOR = "instruct-pix2pix"
# Settings that go to the editor; those that are left out take the values that suit the weights.
OF_EDITOR = ("model", "steps", "text_scale", "image_scale", "size_px", "memory")
SMOKE_STEPS = 4


class Pix2PixSettings(MethodSettings):
    """Settings of ``instruct-pix2pix``.

    Attributes:
        model: folder or name of the weights; None takes InstructPix2Pix if it is here, else the bundled ones.
        steps: denoising steps.
        text_scale, image_scale: how strongly instruction and frame guide.
        size_px: side of the picture that the network edits.
        memory: what saves memory (:mod:`emo_bench.methods.diffusion_memory`); None: what the machine asks for.
        fresh_noise: whether each frame gets noise of its own; otherwise all frames get the same.
        batch: frames that are edited together.
        resolution_px: side of the frames.
    """

    model: str | None = None
    steps: int | None = Field(None, ge=1, le=1000)
    # Below 1 diffusers leaves both guidances out, whatever the other scale says.
    text_scale: float | None = Field(None, ge=1, le=100)
    image_scale: float | None = Field(None, ge=1, le=100)
    size_px: int | None = Field(None, ge=8, le=4096)
    memory: Memory | None = Field(None, description=DESCRIPTION)
    fresh_noise: bool = False
    batch: BatchSize = 5
    resolution_px: int = Field(128, ge=32, le=1024)


class InstructPix2Pix(VideoEditor):
    """Each frame is edited by the instruction, guided by the frame itself."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="instruct-pix2pix",
        title="Ip2p",
        paper="InstructPix2Pix: Learning to Follow Image Editing Instructions, Brooks et al., CVPR 2023",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=("emo-bench[diffusion]",),
        fidelity="the published procedure on each frame by itself; run.json has the weights and the noise",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        chosen: dict[str, Any] = {"resolution_px": clip_px(workspace)}
        if workspace.profile == SMOKE_PROFILE:
            chosen["steps"] = SMOKE_STEPS
        if workspace.profile == PAPER_PROFILE:
            chosen["model"] = PAPER_MODEL
        self._settings = resolve(Pix2PixSettings, chosen, workspace.settings, name=self.info.name)
        self.resolution_px = self._settings.resolution_px
        model = self._settings.model
        if model is not None:
            required_pipeline(self.info.name, model)
        given = {name: value for name in OF_EDITOR if (value := getattr(self._settings, name)) is not None}
        editor = open_editor(EDITOR, given, workspace.device)
        assert isinstance(editor, InstructPix2PixEditor)
        self._editor, self._memory = editor, editor.memory()

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; ``paper`` needs InstructPix2Pix's own weights."""
        return (SMOKE_PROFILE, "cpu", GPU_PROFILE, PAPER_PROFILE)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of profile ``paper``; the others take what is here."""
        return (PAPER_MODEL,) if profile == PAPER_PROFILE else ()

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield each frame, edited by the instruction."""

        def edited(frames: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
            seeds = [self._seed(first + position) for position in range(len(frames))]
            return self._editor.edit_batch(frames, style.instruction, seeds)

        yield from edit_in_batches(clip.frames, edited, self.workspace.folder, self._settings.batch)

    def describe(self) -> dict[str, object]:
        """Return the resolved settings, and the weights."""
        own = self._settings.model_dump(mode="json", exclude=set(OF_EDITOR))
        how = "fresh for each frame" if self._settings.fresh_noise else "the same for all frames"
        config = {**self._editor.resolved(), **own, "noise": how}
        described: dict[str, object] = {"config": config, "assets": self._editor.weights(), "memory": self._memory}
        (name,) = self._editor.weights()
        if name == PAPER_MODEL:
            return described
        flag = other_weights(self.info.title, name, config["size_px"], "InstructPix2Pix's own")
        return {**described, "flags": [flag]}

    def _seed(self, position: int) -> int:
        """Return the seed of a frame's noise."""
        if not self._settings.fresh_noise:
            return self.workspace.seed
        return int(np.random.SeedSequence([self.workspace.seed, position]).generate_state(1)[0])
