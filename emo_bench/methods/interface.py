"""The published interface of a method: something that fits a capture and renders frames of it."""

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
    "EditStyle",
    "Method",
    "MethodInfo",
    "Workspace",
    "gpu_resolution_px",
]

SMOKE_PROFILE = "smoke"
PAPER_PROFILE = "paper"
# The default on a GPU: with what the installation brings, at the capture's size.
GPU_PROFILE = "gpu"
# Of runs whose frames were made elsewhere.
GIVEN_PROFILE = "given"
# Of a method and of a profile: both name folders of runs.
# Sides of frames in profile gpu, powers of two because networks of the methods halve them.
GPU_SIZES_PX = (64, 128, 256, 512)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
NAME_RULE = "use lower case, digits, dash and underscore, at most 60 characters"
# The least side of a frame that the networks of the metrics take.
LEAST_PX = 32


def gpu_resolution_px(capture_px: int | None, asked: str | None = None) -> int:
    """What the built-in methods render in profile ``gpu``, all alike, so that their scores may be compared.

    The capture's size, or the next smaller of :data:`GPU_SIZES_PX`; 256 where no capture is known. ``asked`` is the
    user's ``--set resolution_px=``, which goes before, so that other sizes follow it; what is no number is left to be
    refused with the other settings.
    """
    if asked is not None and asked.isascii() and asked.isdecimal() and len(asked) <= 5:
        return int(asked)
    if capture_px is None:
        return 256
    return max((size for size in GPU_SIZES_PX if size <= capture_px), default=GPU_SIZES_PX[0])


@dataclass(frozen=True)
class MethodInfo:
    """What a method says of itself.

    Attributes:
        name: the name on the command line and in run folders, e.g. ``mean-frame``; see :data:`NAME`.
        title: the name in tables, as its paper writes it.
        paper: citation, or ``""`` for a method without one.
        licence: of this implementation.
        capabilities: of ``render`` and ``edit``, what it can do.
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
        seed: of every random number; same seed, same machine, same result.
        device: ``"cpu"`` or ``"cuda:0"``, as torch and Warp name it; ``"cuda"`` becomes ``"cuda:0"``.
        settings: the user's ``--set key=value``, as text; an unknown key is the method's UserError, when it is built.
        capture_px: side of the capture's stored frames; None where no capture is known.
        cache: folder in which the runs of one study share the results of stages; None for a run of its own. See
            :func:`emo_bench.methods.training.take_stage`.
    """

    folder: Path
    profile: str
    seed: int
    device: str = "cpu"
    settings: Mapping[str, str] = field(default_factory=dict)
    capture_px: int | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", numbered(self.device))


@dataclass(frozen=True)
class EditStyle:
    """The edit that is asked for.

    Attributes:
        name: of the style, also its folder's.
        source_caption, target_caption: what the frames show before and after.
        instruction: for editors that are told what to do.
        editor: of the reference picture, a name of ``emo_bench.methods.reference_editors.EDITORS``.
        editor_settings: its settings.
        title: for tables; no frame depends on it.
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

    The runner builds ``Cls(workspace)``, calls :meth:`fit` once (again after an interruption) and
    :meth:`render` on the same object or, in a later process, on a fresh one after :meth:`load`. What is
    held out is out of reach: ``fit`` gets a capture whose other frames raise PermissionError, ``render``
    one without any readable frame. The track is whole in both, because it is what drives the avatar.
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
        """Names of the profiles; ``smoke`` is the one for trying things out, ``gpu`` or else ``cpu`` the default on a
        GPU.

        Without a GPU the default is ``cpu``.
        """

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Names of the assets (``emo-bench assets list``) that a profile needs when no setting chooses others."""
        return ()

    @abstractmethod
    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Learn from the frames ``train``, in ascending order, all with a face.

        Called again after an interruption, it goes on from what it left in ``workspace.folder`` and ends
        with the same result as an undisturbed fit.
        """

    @abstractmethod
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield a frame ``uint8 [R, R, 3]`` RGB for each index, in order, R being ``resolution_px``."""

    @abstractmethod
    def load(self) -> None:
        """Take up a finished fit from ``workspace.folder``."""

    def edit(self, style: EditStyle, workspace: Workspace) -> Method:
        """The edit of this fitted avatar as a method of its own: its ``fit`` makes the edit, its ``render`` shows it.

        Args:
            style: what to make of it.
            workspace: of the edit; its settings are the user's ``--set edit.key=value`` without the prefix.

        Raises:
            UserError: the method edits nothing, or what the edit needs is not here; before any work is done.
        """
        raise UserError(f"method {self.info.name} cannot edit what it fitted: leave out --style")

    def render_inputs(self) -> Mapping[str, object] | None:
        """What the frames depend on besides the fit and its identity, plain JSON; None for nothing.

        With another value the frames of a finished run are rendered and scored again, over the same fit.
        """
        return None

    def describe(self) -> dict[str, object]:
        """Plain JSON values for ``run.json``; callable before the fit.

        Two keys belong to what the run *is*, so they must not change by fitting, and a finished run does not
        serve another value of them: ``config`` (the resolved configuration) and ``assets`` (SHA-256 by name).
        ``stage_seconds``, after the fit, says what its parts took. ``flags``, a list of sentences, is what a reader
        of the scores must know; reports show it as notes.
        """
        return {}
