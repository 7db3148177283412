"""What ``import emo_bench`` offers: one call for each main job. The commands call the same functions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun
from emo_bench.runs.finished import load_run as open_run
from emo_bench.runs.settings import Value, sorted_settings

if TYPE_CHECKING:
    from emo_bench.runs.editing import EditRequest

__all__ = ["RunResult", "load_run", "run"]

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class RunResult(FinishedRun):
    """A run that was made, with what was made beside it.

    Attributes:
        path: the run's folder.
        manifest: the content of ``run.json``.
        scores: one row per held-out frame, one column per metric, float64.
        edit: the edit of the run; None if there is none.
        trivial: the runs of the trivial methods, on the same frames.
        report: the file ``report.md`` that shows all of these.
    """

    edit: FinishedRun | None
    trivial: tuple[FinishedRun, ...]
    report: Path

    @property
    def folders(self) -> list[Path]:
        """The folders of the run, of the trivial methods and of the edit."""
        return [self.path, *(run.path for run in self.trivial), *([self.edit.path] if self.edit else [])]


def run(
    method: str,
    actor: str,
    *,
    protocol: str | Path | None = None,
    split: str | None = None,
    profile: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Value] | None = None,
    runs: str | Path = "runs",
    device: str | None = None,
    trivial: bool = True,
    style: str | Path | None = None,
    reference: str | Path | None = None,
    prompt: str | None = None,
    source_prompt: str | None = None,
    skip_edit: bool = False,
) -> RunResult:
    """Fit a method on an actor, render the held-out frames, score them, and write a report.

    The trivial methods run beside it. If the method can edit, the fitted avatar is also edited into one style. A
    finished stage is not done again, and an interrupted run continues. ``emo-bench run`` calls this function.

    Args:
        method: a name, ``path/to/file.py:Class``, or ``path/to/file.toml``.
        actor: the name of an actor, see ``emo-bench actors list``.
        protocol: a protocol's name or TOML file; None is ``self_reenactment``, or its mini form for profile ``smoke``.
        split: one of the protocol's splits; None is the protocol's default.
        profile: one of the method's profiles; None is ``gpu`` on a GPU, else ``cpu``.
        seed: the random seed, 0 or greater.
        settings: what ``--set`` takes: settings of the method, ``edit.KEY`` for a setting of the edit, and ``clip`` for
            the CLIP model of all CLIP scores and of the edit's training.
        runs: the folder that keeps the runs.
        device: ``"cpu"`` or ``"cuda"``; None is a GPU if there is one.
        trivial: also run ``mean-frame`` and ``nearest-frame``.
        style: style of the edit, a name or a TOML file; None is ``bronze-statue``.
        reference: your own edit of the reference frame, a picture; it replaces the style.
        prompt, source_prompt: captions of the video after and before the edit; they go with ``reference``.
        skip_edit: make no edit.

    Returns:
        The finished run with its scores, its edit, the runs of the trivial methods and the report.

    Raises:
        UserError: a name, a setting or a combination is wrong; before any work, and nothing is left behind.
        MethodError: a method or a metric that is not ours fails.

    Example:
        >>> made = emo_bench.run("emo-avatar", "1", profile="smoke")
        >>> made.scores["psnr"].mean(), made.report
    """
    from emo_bench.methods.registry import method_class
    from emo_bench.runs.editing import check_edit, edit
    from emo_bench.runs.runner import RunRequest, planned
    from emo_bench.runs.runner import run as make_runs
    from reports import write_report

    chosen = sorted_settings(settings or {})
    wanted = _edit_request(skip_edit, style, reference, prompt, source_prompt, chosen.edit, chosen.clip)
    request = RunRequest(
        method=method,
        actor=actor,
        protocol=None if protocol is None else str(protocol),
        split=split,
        profile=profile,
        seed=seed,
        settings=chosen.method,
        runs_dir=Path(runs),
        device=device,
    )
    if wanted is not None and (wanted.asked_for or "edit" in method_class(method).info.capabilities):
        left_out = check_edit(*planned(request), wanted)
        if left_out:
            log.info("edit: will be left out: %s", left_out)
            wanted = None
    else:
        wanted = None
    folders = make_runs(request, trivial=trivial)
    edited = edit(folders[0], wanted, device, method) if wanted is not None else None
    report = write_report([*folders, *([edited] if edited else [])], folders[0])
    return _result(folders, edited, report)


def load_run(folder: str | Path) -> FinishedRun:
    """Open a finished run or edit, made here or received from somebody.

    Args:
        folder: the folder that holds ``run.json``.

    Returns:
        The run, with its ``manifest`` and its ``scores``.

    Raises:
        UserError: there is no run, it is not finished, or it is damaged.

    Example:
        >>> emo_bench.load_run("runs/self_reenactment/1/emo-avatar/cpu-s0").scores["psnr"].mean()
    """
    return open_run(Path(folder))


def _result(folders: Sequence[Path], edited: Path | None, report: Path) -> RunResult:
    first, *others = map(open_run, folders)
    made = None if edited is None else open_run(edited)
    return RunResult(first.path, first.manifest, first.scores, made, tuple(others), report)


def _edit_request(
    skip: bool,
    style: str | Path | None,
    reference: str | Path | None,
    prompt: str | None,
    source_prompt: str | None,
    settings: Mapping[str, str],
    clip: str,
) -> EditRequest | None:
    """What the arguments ask for; None if the edit is to be skipped."""
    from emo_bench.runs.editing import EditRequest, choose_style

    given = [name for name, value in (("--style", style), ("--reference", reference)) if value is not None]
    given += ["--set edit.*"] if settings else []
    if skip:
        if given:
            raise UserError(f"--skip-edit and {given[0]} exclude each other")
        return None
    picture = None if reference is None else Path(reference)
    chosen = choose_style(None if style is None else str(style), picture, prompt, source_prompt)
    return EditRequest(chosen, settings, asked_for=bool(given), clip=clip)
