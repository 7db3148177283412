"""``emo-bench sweep``: many runs by one command."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from emo_bench.cli.defaults import ACTOR, announce
from emo_bench.cli.options import Device, Profile, RunsFolder, Split, examples
from emo_bench.cli.output import print_columns
from emo_bench.errors import FAILED, UserError
from emo_bench.methods.seeds import GREATEST

if TYPE_CHECKING:
    from emo_bench.sweeps.executor import Executor
    from emo_bench.sweeps.jobs import Jobs
    from emo_bench.sweeps.planning import SweepPlan, SweepPlanner
    from emo_bench.sweeps.request import SweepRequest
    from emo_bench.sweeps.sweep import Outcome
    from protocols.sweeps import SweepFile

EXAMPLE = examples(
    "sweep smoke --dry-run",
    "sweep results --jobs auto",
    "sweep --method insta --method nearest-frame --actor 1 --actor 2",
    "sweep --method insta --seed 0 --seed 1 --set rays=512 --jobs 2",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
# The time limit of a job on Slurm, by the estimate of the longest task; and submitit's folder in that of the sweep.
LEAST_MINUTES, TIMES_LONGER, SUBMITTED = 30, 3, "slurm"
# The name of a sweep that is given by options.
BY_OPTIONS = "by-options"

Several = list[str] | None


class Where(StrEnum):
    """The choices of ``--executor``."""

    LOCAL = "local"
    SLURM = "slurm"


T = TypeVar("T")


@dataclass(frozen=True)
class _How:
    """How a sweep is carried out: the options of the same names; ``slurm`` is None for this machine."""

    runs: Path
    profile: str | None
    device: str | None
    trivial: bool
    jobs: str | None
    threads: int
    slurm: Mapping[str, str | int] | None
    dry_run: bool
    retry_failed: bool


def sweep(
    file: Annotated[
        str | None,
        typer.Argument(metavar="SWEEP", help="Name or TOML file of a sweep. Without it, give the runs by options."),
    ] = None,
    method: Annotated[Several, typer.Option(help="Method. May be given several times.")] = None,
    actor: Annotated[Several, typer.Option(help="Name of an actor. May be given several times.")] = None,
    protocol: Annotated[
        Several, typer.Option(help="Name or TOML file of a protocol. May be given several times.")
    ] = None,
    style: Annotated[
        Several, typer.Option(help="Style of an edit. May be given several times. Default: no edit.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, max=GREATEST, help="Random seed. May be given several times. Default: 0.")
    ] = None,
    settings: Annotated[
        Several,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting. The same key several times gives several runs."),
    ] = None,
    video: Annotated[
        Several, typer.Option(metavar="NAME=FILE", help="Video of an actor that is not there yet; it is tracked first.")
    ] = None,
    split: Split = None,
    profile: Profile = None,
    runs: RunsFolder = Path("runs"),
    device: Device = None,
    trivial: Annotated[
        bool, typer.Option("--trivial/--no-trivial", help="Also run the trivial methods, mean-frame and nearest-frame.")
    ] = True,
    jobs: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Do N runs at the same time, in processes; auto: by cores, memory and GPUs. Default: "
            "one after the other in this process.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of each process of --jobs and Slurm.")] = 1,
    executor: Annotated[
        Where, typer.Option(help="Where the runs are made: local, on this machine; slurm, on the cluster.")
    ] = Where.LOCAL,
    slurm: Annotated[
        Several,
        typer.Option(
            metavar="KEY=VALUE", help="Option of Slurm, such as partition=gpu or time=120 (minutes). Several times."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep's folder. Default: the name of the file, or by-options.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and run nothing.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also do again what failed before.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the sweeps that come with the toolkit.")] = False,
) -> None:
    """Make many runs in one command.

    Every combination of the methods, actors, protocols, styles, seeds and settings is a run. The plan is shown first,
    with the time and the disk that the runs need. Finished runs are skipped. Work that several runs need is done once:
    tracking of a video, the fit before several edits, faces in recorded frames.

    If a run fails, the others go on. Its log is kept, and the next call leaves it out; --retry-failed does it again. If
    the command is interrupted, give it again: it continues. At the end one report of all runs is written.

    Exit codes: 0: everything is done; 1: a run failed or cannot run here; 2: wrong input, and nothing was run.
    """
    from emo_bench.cli import status

    if listed:
        _list()
        return
    given = {"--method": method, "--actor": actor, "--protocol": protocol, "--style": style, "--seed": seed,
             "--set": settings, "--split": split}  # fmt: skip
    if file is not None:
        _refuse_both(given)
        from protocols.sweeps import load_sweep

        chosen = load_sweep(file)
        chosen = chosen.model_copy(update={"videos": {**chosen.videos, **_videos(video)}})
    else:
        chosen = _by_options(method, actor, protocol, style, seed, settings, video, split)
    name = _checked_name(name or (Path(file).stem if file is not None else BY_OPTIONS))
    with status.log_on_stderr():
        trivial = trivial and chosen.trivial
        options = _slurm_options(executor, slurm, chosen, jobs)
        how = _How(runs, profile, device, trivial, jobs, threads, options, dry_run, retry_failed)
        whole = _sweep(chosen, name, how)
    if not whole:
        raise typer.Exit(FAILED)


def _sweep(chosen: "SweepFile", name: str, how: "_How") -> bool:
    """Plan a sweep, show the plan, and carry it out.

    Returns:
        Whether everything is done; for a dry run, whether everything can run here.
    """
    from emo_bench.cli.sweep_output import print_outcome, print_plan
    from emo_bench.runs.store import lock_folder
    from emo_bench.sweeps.estimates import Estimates
    from emo_bench.sweeps.failures import Failures
    from emo_bench.sweeps.jobs import require_jobs
    from emo_bench.sweeps.request import SweepRequest
    from emo_bench.sweeps.sweep import CACHE, Sweep, divide, sweep_folder

    folder = sweep_folder(how.runs, name)
    videos = {actor: Path(video) for actor, video in chosen.videos.items()}
    request = SweepRequest(
        chosen.grids(how.profile), how.runs, how.device, how.trivial, videos, folder.absolute() / CACHE
    )
    if how.jobs is not None:
        # Before the plan, which takes seconds.
        require_jobs(how.jobs, how.device)
    planner, plan = _planned(request, at_once=how.jobs is not None or how.slurm is not None)
    estimates, failures = Estimates(how.runs), Failures(folder)
    divided = divide(plan, failures, retry_failed=how.retry_failed)
    processes = _jobs(how, [estimates.of(task).memory_mib for task in divided.tasks])
    print_plan(name, how.runs, plan, divided, estimates, failures, processes)
    if how.dry_run:
        return not plan.refused
    with lock_folder(folder):
        making = Sweep(planner, folder, failures, estimates, retry_failed=how.retry_failed)
        costs = [estimates.of(task).seconds for task in divided.tasks]
        executor = _executor(how, processes, folder, max(costs, default=0.0))
        outcome = making.carry_out(plan, executor, time_is_known=how.slurm is None)
        files = _report(outcome, folder)
    print_outcome(outcome, folder, failures, files)
    return outcome.is_whole


def _planned(request: "SweepRequest", *, at_once: bool) -> "tuple[SweepPlanner, SweepPlan]":
    """Plan a sweep; a large one shows how far it is."""
    from emo_bench.progress import track_progress
    from emo_bench.sweeps.planning import SweepPlanner

    planner = SweepPlanner(request, shared_faces=at_once)
    with track_progress(planner.count, "sweep: plan") as advance:
        return planner, planner.plan(advance)


def _jobs(how: _How, memory_mib: Sequence[float | None]) -> "Jobs":
    from emo_bench.sweeps.jobs import Jobs, chosen_jobs

    if how.slurm is not None:
        from emo_bench.sweeps.cluster import CAPACITY

        return Jobs(CAPACITY, (), "Slurm decides how many jobs run at a time", is_limit=True)
    if how.jobs is None:
        return Jobs(1, (), "in this process")
    known = [value for value in memory_mib if value is not None]
    return chosen_jobs(how.jobs, how.device, max(known, default=None))


def _executor(how: _How, processes: "Jobs", folder: Path, longest_s: float) -> "Executor":
    """Return the executor.

    Args:
        how: the options.
        processes: the processes on this machine.
        folder: the folder of the sweep.
        longest_s: the estimated time of the longest task.
    """
    if how.slurm is not None:
        from emo_bench.sweeps.cluster import slurm

        minutes = max(LEAST_MINUTES, round(longest_s / 60 * TIMES_LONGER))
        return slurm(folder / SUBMITTED, how.slurm, minutes=minutes, threads=how.threads)
    if how.jobs is None:
        from emo_bench.sweeps.in_process import InProcess

        return InProcess()
    from emo_bench.sweeps.local_processes import LocalProcesses

    return LocalProcesses(processes.count, threads=how.threads, gpus=processes.gpus)


def _slurm_options(
    executor: Where, given: Several, chosen: "SweepFile", jobs: str | None
) -> Mapping[str, str | int] | None:
    """Return the options of Slurm, those of the command before those of the file; None for this machine."""
    if executor is Where.LOCAL:
        if given:
            raise UserError("--slurm goes with --executor slurm")
        return None
    if jobs is not None:
        raise UserError("--jobs and --executor slurm exclude each other: Slurm decides how many run at a time")
    words = {key: values[-1] for key, values in _pairs(given or [], "--slurm").items()}
    return {**chosen.slurm, **{key: int(value) if value.isdecimal() else value for key, value in words.items()}}


def _report(outcome: "Outcome", folder: Path) -> list[Path]:
    """Write one report of all finished runs; none if there is no finished run."""
    from reports.pages.html import PageOptions
    from reports.publishing import publish

    return publish(sorted(outcome.folders), folder, PageOptions(clips=False)) if outcome.folders else []


def _by_options(
    method: Several,
    actor: Several,
    protocol: Several,
    style: Several,
    seed: list[int] | None,
    settings: Several,
    video: Several,
    split: str | None,
) -> "SweepFile":
    """Return the sweep that the options describe."""
    from pydantic import ValidationError

    from emo_bench.untrusted.schema import first_problem
    from protocols.sweeps import Grid, SweepFile

    if not method:
        raise UserError("sweep: give a sweep (emo-bench sweep --list shows them), or at least one --method")
    if not actor:
        actor = [ACTOR]
        announce(f"actor {ACTOR} (the default; choose with --actor)")
    try:
        grid = Grid(
            methods=tuple(_distinct(method)),
            actors=tuple(_distinct(actor)),
            protocols=tuple(_distinct(protocol or [])),
            styles=tuple(_distinct(style or [])),
            seeds=tuple(_distinct(seed or [0])),
            settings=_pairs(settings or [], "--set"),
            split=split,
        )
        return SweepFile(version=1, title="A sweep by options", videos=_videos(video), grid=(grid,))
    except ValidationError as error:
        raise UserError(f"sweep: {first_problem(error)}") from error


def _videos(given: Several) -> dict[str, str]:
    """Return the files of ``--video NAME=FILE``, by the names of the actors; they replace those of a sweep file."""
    return {actor: files[-1] for actor, files in _pairs(given or [], "--video").items()}


def _pairs(words: list[str], option: str) -> dict[str, tuple[str, ...]]:
    """Convert ``["a=1", "a=2"]`` to ``{"a": ("1", "2")}``."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(
                f"{word!r} is not {'NAME=FILE' if option == '--video' else 'KEY=VALUE'}", param_hint=option
            )
        found[key.strip()] = (*found.get(key.strip(), ()), value.strip())
    return {key: tuple(_distinct(values)) for key, values in found.items()}


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _refuse_both(given: Mapping[str, object]) -> None:
    """Refuse options that say what to run beside a file that says it too."""
    option = next((name for name, value in given.items() if value), None)
    if option is not None:
        raise UserError(f"sweep: the file says what to run: leave out {option}, or leave out the file")


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(f"--name {name}: use letters, digits, dot, dash and underscore, at most 60 characters")
    return name


def _list() -> None:
    from protocols.sweeps import list_sweeps

    print_columns(("sweep", "title"), [(name, found.title) for name, found in list_sweeps().items()])
