"""A method whose fit, render and edit are shell commands of an official repository in its own environment."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TextIO

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.errors import SettingError, UserError
from emo_bench.files import open_in_place, remove_tree
from emo_bench.methods.command.file import (
    CommandFile,
    EditSteps,
    RenderStep,
    Step,
    fill,
    read_command_file,
    shell_command,
)
from emo_bench.methods.command.frames import frame_place
from emo_bench.methods.command.layouts import export_driving, export_training
from emo_bench.methods.command.process import run_command, sole_command
from emo_bench.methods.interface import EditStyle, Method, MethodInfo, Workspace
from emo_bench.methods.max_minutes import OPTION, SETTING
from emo_bench.methods.settings import unknown_setting
from emo_bench.video.numbered_frames import open_numbered

log = logging.getLogger("emo_bench")

EXPORT, DRIVING, WORK, RENDERED = "export", "driving", "work", "rendered"
COMMAND_LOG = "command.log"
DONE = "fit.done"


def command_class(path: Path) -> type[Method]:
    """Return the method class that a TOML file describes.

    Raises:
        UserError: the file is wrong.
    """
    file = read_command_file(path)
    can = {"render"} | ({"edit"} if file.edit else set())
    info = MethodInfo(
        name=file.name,
        title=file.title,
        paper=file.paper,
        licence=file.licence,
        capabilities=frozenset(can),
        requirements=file.needs,
        fidelity=file.fidelity,
    )
    return type("FileCommandMethod", (CommandMethod,), {"info": info, "file": file, "path": path.resolve()})


class CommandMethod(Method):
    """A method that exports the data of a fit, runs the commands and reads their frames. See :func:`command_class`."""

    file: ClassVar[CommandFile]
    path: ClassVar[Path]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.resolution_px = self.file.resolution_px
        unknown = sorted(set(workspace.settings) - set(self.file.settings))
        if SETTING in unknown:
            raise SettingError(
                f"{OPTION}: {self.path} has no setting {SETTING}: leave the option out, or name {SETTING} under "
                f"[settings] and give {{{SETTING}}} to the fit's command"
            )
        if unknown:
            raise unknown_setting(self.file.name, unknown[0], self.file.settings)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles that the file names."""
        return cls.file.profiles

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Export the training frames and the track, and run the fit command; ``work`` is kept between attempts."""
        self._workdir()
        folder = self.workspace.folder
        with sole_command(folder) as record:
            remove_tree(folder / EXPORT)
            export_training(self.file.layout, capture, train, folder / EXPORT, self.resolution_px)
            self._run("fit", self.file.fit, self._values(EXPORT, len(train)), record)
        open_in_place(folder / DONE, "a").close()

    def load(self) -> None:
        """Check that the fit is finished."""
        if not (self.workspace.folder / DONE).is_file():
            raise UserError(f"{self.workspace.folder} holds no finished fit of {self.file.name}: run the fit first")

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Export the driving signals of the frames, run the render command, check its frames, and yield them."""
        yield from self._render(self._render_step(), capture, indices, {})

    def render_inputs(self) -> dict[str, object]:
        """Return the render command and its output place; if they change, the frames are rendered again."""
        step = self._render_step()
        return {"command": step.command, "frames": step.frames}

    def edit(self, style: EditStyle, workspace: Workspace) -> Method:
        """Return the edit that the file's edit command makes."""
        if self.file.edit is None:
            return super().edit(style, workspace)
        return CommandEdit(self, self.file.edit, style, workspace)

    def describe(self) -> dict[str, object]:
        """Describe what the fit depends on. Time limits, folders and texts about the method are not part of it."""
        return {"config": self._config()}

    def _config(self) -> dict[str, object]:
        file = self.file
        return {
            "resolution_px": file.resolution_px,
            "layout": file.layout,
            "prefix": file.prefix,
            "environment": file.environment,
            "fit": {"command": file.fit.command},
            "settings": self._settings(),
        }

    def _render_step(self) -> RenderStep:
        return self.file.render

    def _settings(self) -> dict[str, str]:
        return {**self.file.settings, **self.workspace.settings}

    def _render(
        self, step: RenderStep, capture: Capture, indices: Sequence[int], more: Mapping[str, object]
    ) -> Iterator[np.ndarray]:
        workdir, folder = self._workdir(), self.workspace.folder
        with sole_command(folder) as record:
            for part in (DRIVING, RENDERED):
                remove_tree(folder / part)
            export_driving(self.file.layout, capture, indices, folder / DRIVING, self.resolution_px)
            values = {**self._values(DRIVING, len(indices)), **more}
            place = frame_place(workdir / fill(step.frames, values, quote=False), folder)
            self._run("render", step, values, record)
        place.require_written(self._what("render"), folder / COMMAND_LOG)
        frames = open_numbered(place.path, indices)
        yield from frames.read(self.resolution_px)
        for note in frames.source.notes:
            log.warning("note: %s", note)

    def _values(self, data: str, count: int) -> dict[str, object]:
        """Make the folders, and return the values of the placeholders."""
        folder = self.workspace.folder.resolve()
        for part in (WORK, RENDERED):
            (folder / part).mkdir(parents=True, exist_ok=True)
        return {
            **self._settings(),
            "data": folder / data,
            "work": folder / WORK,
            "out": folder / RENDERED,
            "count": count,
            "seed": self.workspace.seed,
            "profile": self.workspace.profile,
            "device": self.workspace.device,
            "resolution_px": self.resolution_px,
            "here": self.path.parent,
        }

    def _workdir(self) -> Path:
        workdir = self.path.parent / Path(self.file.workdir).expanduser()
        if not workdir.is_dir():
            raise UserError(f"{self.path}: workdir {workdir} is not a folder: clone the repository there")
        return workdir

    def _what(self, step_name: str) -> str:
        return f"{self.file.name}: {step_name} command"

    def _run(self, step_name: str, step: Step, values: Mapping[str, object], record: TextIO) -> None:
        run_command(
            shell_command(step.command, self.file.prefix, values),
            what=self._what(step_name),
            log=self.workspace.folder / COMMAND_LOG,
            timeout_s=step.timeout_s,
            workdir=self._workdir(),
            environment=self.file.environment,
            record=record,
        )


class CommandEdit(CommandMethod):
    """The edit of a fitted command method: its fit runs the edit command over a copy of the fit's ``work``."""

    def __init__(self, base: CommandMethod, steps: EditSteps, style: EditStyle, workspace: Workspace) -> None:
        self.info, self.file, self.path = base.info, base.file, base.path  # type: ignore[misc]
        settings = {**base.workspace.settings, **workspace.settings}
        super().__init__(Workspace(workspace.folder, workspace.profile, workspace.seed, workspace.device, settings))
        self._base, self._steps = base, steps
        self._words: dict[str, object] = {
            "style": style.name,
            "instruction": style.instruction,
            "source_caption": style.source_caption,
            "target_caption": style.target_caption,
        }

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Copy the fit's ``work`` and run the edit command in it."""
        self._base.load()
        self._workdir()
        folder = self.workspace.folder
        with sole_command(folder) as record:
            remove_tree(folder / EXPORT)
            remove_tree(folder / WORK)
            shutil.copytree(self._base.workspace.folder / WORK, folder / WORK)
            export_training(self.file.layout, capture, train, folder / EXPORT, self.resolution_px)
            values = {**self._values(EXPORT, len(train)), **self._words}
            self._run("edit", self._steps.fit, values, record)
        open_in_place(folder / DONE, "a").close()

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Return the render command as the base class does, or the edit's own if the file has one."""
        yield from self._render(self._render_step(), capture, indices, self._words)

    def describe(self) -> dict[str, object]:
        """Describe what the edit depends on."""
        return {"config": {**self._config(), "edit": {"command": self._steps.fit.command}}}

    def _render_step(self) -> RenderStep:
        return self._steps.render or self.file.render
