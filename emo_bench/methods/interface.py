"""The published interface of a method.

There are two kinds. An avatar (:class:`Method`) fits a capture and renders frames from the track. A video editor
(:class:`VideoEditor`) fits nothing and edits a recorded clip.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from emo_bench.errors import UserError
from emo_bench.system.devices import numbered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emo_bench.actors.capture import Capture

__all__ = [
    "GIVEN_PROFILE",
    "GPU_PROFILE",
    "GPU_SIZES_PX",
    "LEAST_PX",
    "NAME",
    "NAME_RULE",
    "PAPER_PROFILE",
    "SMOKE_PROFILE",
    "Clip",
    "EditStyle",
    "Method",
    "MethodInfo",
    "VideoEditor",
    "Workspace",
    "gpu_resolution_px",
]

SMOKE_PROFILE = "smoke"
PAPER_PROFILE = "paper"
# The default profile on a GPU: needs only what the installation has, and renders at the capture's size.
GPU_PROFILE = "gpu"
# The profile of runs whose frames other tools made.
GIVEN_PROFILE = "given"
# The rule for names of methods and profiles, which are parts of folder names.
# Sides of frames in profile gpu; they are powers of two because networks of the methods halve them repeatedly.
GPU_SIZES_PX = (64, 128, 256, 512)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
NAME_RULE = "use lower case, digits, dash and underscore, at most 60 characters"
# The smallest side of a frame, in pixels, that the networks of the metrics accept.
LEAST_PX = 32


def gpu_resolution_px(capture_px: int | None, asked: str | None = None) -> int:
    """Return the side of frames in profile ``gpu``; all built-in methods use the same, so that scores can be compared.

    It is the capture's size, or the next smaller one of :data:`GPU_SIZES_PX`; 256 if no capture is known. ``asked`` is
    the user's ``--set resolution_px=`` and has priority, because other sizes depend on it. If it is not a number, it is
    ignored here and refused with the other settings.
    """
    if asked is not None and asked.isascii() and asked.isdecimal() and len(asked) <= 5:
        return int(asked)
    if capture_px is None:
        return 256
    return max((size for size in GPU_SIZES_PX if size <= capture_px), default=GPU_SIZES_PX[0])


@dataclass(frozen=True)
class MethodInfo:
    """A method's description of itself.

    Attributes:
        name: the name on the command line and in run folders, e.g. ``mean-frame``; see :data:`NAME`.
        title: the name in tables, as its paper writes it.
        paper: citation, or ``""`` for a method without one.
        licence: the licence of this implementation.
        capabilities: what it can do: ``render``, ``edit`` or both for an avatar, ``edit`` for a video editor. An avatar
            with ``novel-view`` also renders from tracks in which another camera sees the head and the shoulders.
        requirements: packages or assets beyond the toolkit's own dependencies.
        fidelity: how this implementation relates to the paper's method, in one line.
    """

    name: str
    title: str
    paper: str
    licence: str
    capabilities: frozenset[str]
    requirements: tuple[str, ...]
    fidelity: str


@dataclass(frozen=True)
class Workspace:
    """Where and how a method works.

    Attributes:
        folder: the run's folder; the method keeps its checkpoints and ``train.csv`` there.
        profile: one of the method's :meth:`Method.profiles`.
        seed: the random seed; the same seed on the same machine gives the same result.
        device: ``"cpu"`` or ``"cuda:0"``, as torch and Warp name it; ``"cuda"`` becomes ``"cuda:0"``.
        settings: the user's ``--set key=value``, as text; for an unknown key the method raises a UserError when it is
            built.
        capture_px: side of the capture's stored frames; None if no capture is known.
        cache: folder in which the runs of one study share the results of stages; None for a run of its own. See
            :func:`emo_bench.methods.training.take_stage`.
        fit_began_s: ``time.monotonic()`` when the runner called ``fit``, if the fit has a limit on its time.
    """

    folder: Path
    profile: str
    seed: int
    device: str = "cpu"
    settings: Mapping[str, str] = field(default_factory=dict)
    capture_px: int | None = None
    cache: Path | None = None
    fit_began_s: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", numbered(self.device))


@dataclass(frozen=True)
class EditStyle:
    """The edit that the user asks for.

    Attributes:
        name: the name of the style and of its folder.
        source_caption, target_caption: what the frames show before and after.
        instruction: the instruction for editors that take one.
        editor: the editor of the reference picture, a name of ``emo_bench.methods.reference_editors.EDITORS``.
        editor_settings: the settings of the editor.
        title: the name in tables; no frame depends on it.
    """

    name: str
    source_caption: str
    target_caption: str
    instruction: str
    editor: str
    editor_settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""


class Method(ABC):
    """A head avatar, a video edit, or a trivial method that repeats recorded frames.

    The runner builds ``Cls(workspace)`` and calls :meth:`fit` once, and again after an interruption. It then calls
    :meth:`render` on the same object, or in a later process on a new one after :meth:`load`. Held-out frames cannot be
    read: ``fit`` gets a capture whose other frames raise PermissionError, ``render`` gets one without any readable
    frame. The track is complete in both, because it drives the avatar.
    """

    info: ClassVar[MethodInfo]
    resolution_px: int
    fit_files: Sequence[str] = ()
    """Names of files in the workspace folder that :meth:`load` reads. Their SHA-256 is kept in ``run.json``; the
    toolkit calls :meth:`fit` again for a finished run in which one is missing or damaged."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @classmethod
    @abstractmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the names of the profiles.

        ``smoke`` is the profile for trying things out. The default on a GPU is ``gpu``, or ``cpu`` if there is no
        ``gpu``. Without a GPU the default is ``cpu``.
        """

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the names of the assets (``emo-bench assets list``) that a profile needs by default."""
        return ()

    @abstractmethod
    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Fit the method on the frames ``train``: ascending, all with a face.

        After an interruption it is called again. It then continues from the files in ``workspace.folder`` and ends with
        the same result as a fit without interruption.
        """

    @abstractmethod
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield a frame ``uint8 [R, R, 3]`` RGB for each index, in order, R being ``resolution_px``."""

    @abstractmethod
    def load(self) -> None:
        """Load a finished fit from ``workspace.folder``."""

    def edit(self, style: EditStyle, workspace: Workspace) -> Method:
        """Return the edit of this fitted avatar as a method: its ``fit`` makes the edit, its ``render`` renders it.

        Args:
            style: the style of the edit.
            workspace: the workspace of the edit; its settings are the user's ``--set edit.key=value`` without the
                prefix.

        Raises:
            UserError: the method cannot edit, or something that the edit needs is not here; raised before any work.
        """
        raise UserError(f"method {self.info.name} cannot edit what it fitted")

    def render_inputs(self) -> Mapping[str, object] | None:
        """Return what the frames depend on besides the fit and the run's identity, as plain JSON; None for nothing.

        If the value changes, the frames of a finished run are rendered and scored again, from the same fit.
        """
        return None

    def describe(self) -> dict[str, object]:
        """Return a description for ``run.json``, plain JSON values; it can be called before the fit.

        Two keys are part of the run's identity: ``config`` (the resolved configuration) and ``assets`` (SHA-256 by
        name). The fit must not change them, and another value makes another run. ``stage_seconds``, after the fit,
        gives the time of its parts. ``flags`` is a list of sentences that a reader of the scores must know; reports
        show them as notes. What a video editor knows only after its edit may be added to them then.
        """
        return {}


@dataclass(frozen=True, eq=False)
class Clip:
    """The clip that a video editor edits; the editor sees nothing else of the person.

    Attributes:
        frames: the recorded frames in order, RGB ``uint8 [N, R, R, 3]`` with 0 to 255, R being the editor's
            ``resolution_px``. The array cannot be written to.
        fps: frames per second.
    """

    frames: NDArray[np.uint8]
    fps: float


class VideoEditor(ABC):
    """A method that edits a recorded clip. It fits nothing.

    The runner builds ``Cls(workspace)`` and calls :meth:`require_editable` before any work. It then calls :meth:`edit`
    once, and after an interruption again on a new object over the same folder.
    """

    info: ClassVar[MethodInfo]
    resolution_px: int
    window_frames: int | None = None
    """The most frames of which memory can hold an edit; None for any number. A longer clip comes in windows:
    :meth:`edit` is called for each, as if it were the whole clip, and the report says so."""
    reads_editor_settings: ClassVar[bool] = False
    """Whether :meth:`edit` uses ``editor`` and ``editor_settings`` of a style; if not, the report says so."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @classmethod
    @abstractmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the names of the profiles, as :meth:`Method.profiles`."""

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the names of the assets (``emo-bench assets list``) that a profile needs by default."""
        return ()

    def require_editable(self, style: EditStyle) -> None:
        """Check that this editor can make the edit on this machine; called before any work.

        Raises:
            UserError: it cannot; the message says in one line why and what to do.
        """
        return

    @abstractmethod
    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield the edited frames: as many as the clip has, in order, each RGB ``uint8 [R, R, 3]``.

        The same seed on the same machine gives the same frames, also after an interruption. What a finished part of
        the work made may be kept in ``workspace.folder``; :func:`emo_bench.methods.kept_frames.edit_in_batches` does
        so. A progress bar is shown from the first frame on. An editor with long work before its first frame shows the
        progress of that work itself, by :func:`emo_bench.progress.track_progress`.

        Args:
            clip: the clip.
            style: the edit. ``instruction`` and the two captions are for editors of video; ``editor`` and
                ``editor_settings`` say how the reference picture of an avatar's edit is made. An editor that uses these
                sets ``reads_editor_settings``.
        """

    def describe(self) -> dict[str, object]:
        """Return a description for ``run.json``, as :meth:`Method.describe`; it is called before :meth:`edit`."""
        return {}
