"""A video editor as a method, so that the runner, the registry and the watching of calls treat both kinds alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from emo_bench.errors import UserError
from emo_bench.methods.interface import GIVEN_PROFILE, Clip, EditStyle, Method, MethodInfo, VideoEditor, Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emo_bench.actors.capture import Capture

# The folder with finished windows of a clip.
WINDOWS = "windows"
# The kinds of what makes frames, as run.json and the tables name them.
AVATAR, VIDEO_EDITOR, GIVEN_FRAMES = "avatar", "video editor", "given frames"
HOW = {
    AVATAR: "an avatar renders from the track",
    VIDEO_EDITOR: "a video editor edits the recorded video",
    GIVEN_FRAMES: "given frames were made elsewhere",
}


def kind_of(cls: type[Method], profile: str) -> str:
    """Return the kind of a method class; frames that were made elsewhere have a profile of their own."""
    if profile == GIVEN_PROFILE:
        return GIVEN_FRAMES
    return VIDEO_EDITOR if is_video_editor(cls) else AVATAR


def clip_method_class(editor: type[VideoEditor]) -> type[ClipMethod]:
    """Return the method class of a video editor."""
    fields: dict[str, object] = {"editor": editor, "__module__": editor.__module__}
    info = getattr(editor, "info", None)
    if isinstance(info, MethodInfo):
        fields["info"] = info
    return type(editor.__name__, (ClipMethod,), fields)


def is_video_editor(cls: type[Method]) -> bool:
    """Return whether a method class is that of a video editor."""
    return issubclass(cls, ClipMethod)


class ClipMethod(Method):
    """A method that reads the frames that it renders, and edits them. See :func:`clip_method_class`.

    It renders only after :meth:`edit`, which gives it the style.
    """

    editor: ClassVar[type[VideoEditor]]

    def __init__(self, workspace: Workspace, style: EditStyle | None = None, built: VideoEditor | None = None) -> None:
        super().__init__(workspace)
        self._editor = self.editor(workspace) if built is None else built
        # A class may not call super().__init__.
        self._editor.workspace = getattr(self._editor, "workspace", workspace)
        self._style = style
        self._window_flags: list[str] = []
        # Whoever builds a method checks its size.
        self.resolution_px = getattr(self._editor, "resolution_px", 0)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the editor's profiles."""
        return cls.editor.profiles()

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the editor's assets."""
        return cls.editor.required_assets(profile)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Do nothing: a video editor fits nothing."""

    def load(self) -> None:
        """Do nothing: there is no fit to load."""

    def edit(self, style: EditStyle, workspace: Workspace) -> Method:
        """Return the method that renders this edit, after the editor's own check of the style."""
        self._editor.require_editable(style)
        return type(self)(workspace, style, self._editor if workspace == self.workspace else None)

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Return the editor's frames; the frames ``indices`` of the capture must be readable."""
        # Listing the methods imports this module, and must not import numpy.
        import numpy as np

        if self._style is None:
            raise UserError(f"method {self.info.name} edits videos, and no edit is given")
        frames = np.stack(list(capture.frames(list(indices), size=self.resolution_px)))
        frames.setflags(write=False)
        most = getattr(self._editor, "window_frames", None)
        if most is None or len(frames) <= most:
            return self._editor.edit(Clip(frames, float(capture.fps)), self._style)
        return self._in_windows(frames, float(capture.fps), self._style, most)

    def _in_windows(
        self, frames: NDArray[np.uint8], fps: float, style: EditStyle, most: int
    ) -> Iterator[NDArray[np.uint8]]:
        """Edit each window as a clip of its own; finished windows are kept until the last frame was taken."""
        import numpy as np

        from emo_bench.methods.kept_frames import edit_in_batches

        windows = -(-len(frames) // most)
        self._window_flags = [
            f"{self.info.title} edits the {len(frames)} frames in {windows} windows, because memory holds the edit of "
            f"{most} at most; nothing keeps the windows alike"
        ]

        def edited(part: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
            return np.stack(list(self._editor.edit(Clip(part, fps), style)))

        folder = self._editor.workspace.folder / WINDOWS
        folder.mkdir(exist_ok=True)
        kept = edit_in_batches(frames, edited, folder, -(-len(frames) // windows))
        # All windows are edited before the first frame is taken, because an editor shows its progress in each.
        yield from list(islice(kept, len(frames)))
        assert next(kept, None) is None
        folder.rmdir()

    def describe(self) -> dict[str, object]:
        """Return the editor's description, and what it does with the style; after an edit in windows, it says so."""
        described = self._editor.describe()
        told = [*self._style_flags(), *self._window_flags]
        if not told:
            return described
        flags = described.get("flags", [])
        return {**described, "flags": [*(flags if isinstance(flags, list) else []), *told]}

    def _style_flags(self) -> list[str]:
        """Return a sentence if the style has settings that the editor does not use."""
        style = self._style
        if style is None or not style.editor_settings or self.editor.reads_editor_settings:
            return []
        return [
            f"{self.info.title} edits by captions or instruction: it does not use the settings of the style's editor "
            f"{style.editor}, which make the reference of an avatar's edit"
        ]
