"""Recorded: the recorded frames without an edit, as the paper's row "Ground truth" of table 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from baselines.trivial import RESOLUTIONS_PX, resolution_px
from emo_bench.methods.interface import Clip, EditStyle, MethodInfo, VideoEditor, Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Recorded(VideoEditor):
    """Leaves the clip as it is: what the scores of an edit are where nothing is edited. It is not ranked."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="recorded",
        title="Recorded",
        paper="",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=(),
        fidelity="no edit: the recorded frames",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.resolution_px = resolution_px(self.info.name, workspace)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; they differ in the size of the frames."""
        return tuple(RESOLUTIONS_PX)

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of the clip."""
        yield from clip.frames

    def describe(self) -> dict[str, object]:
        """Return the size."""
        return {"config": {"resolution_px": self.resolution_px}}
