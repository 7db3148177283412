"""The plan of a sweep: its tasks, what is done already, and what cannot run here. Nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from emo_bench.actors.kept_folders import kept_folders
from emo_bench.errors import SettingError, UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor
from emo_bench.methods.interface import SMOKE_PROFILE, Method
from emo_bench.metrics import Settings
from emo_bench.runs.applied_protocol import AppliedProtocol
from emo_bench.runs.clip_edits import plan_clip_edits
from emo_bench.runs.done import is_edit_done, is_run_done
from emo_bench.runs.plan import Plan, RunRequest, plan_run, plan_trivial
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.sweeps.making import edit_task, plan_edit_of, run_task
from emo_bench.sweeps.request import Combination, Names, SweepRequest
from emo_bench.sweeps.task import FaceFinding, Task, Tracking
from emo_bench.sweeps.work import face_metrics
from emo_bench.system.devices import chosen_device


@dataclass(frozen=True)
class Refused:
    """A run that cannot be planned, with the reason in one line."""

    title: str
    reason: str


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep makes.

    Attributes:
        tasks: what is to do, in order.
        done: finished runs and edits.
        refused: what cannot run on this machine.
        notes: what a reader should know, one sentence each.
    """

    tasks: tuple[Task, ...] = ()
    done: tuple[Task, ...] = ()
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: SweepPlan) -> SweepPlan:
        notes = dict.fromkeys((*self.notes, *other.notes))
        return SweepPlan(self.tasks + other.tasks, self.done + other.done, self.refused + other.refused, tuple(notes))


class SweepPlanner:
    """Plans a sweep, and during the sweep the runs of actors whose videos have been tracked.

    Args:
        request: what to make.
        shared_faces: whether tasks run at the same time, so that faces which several of them need are found by a task
            of their own.

    Raises:
        UserError: there is no such method, actor, protocol, style or video.
    """

    def __init__(self, request: SweepRequest, *, shared_faces: bool = False) -> None:
        self._request, self._shared_faces = request, shared_faces
        self._names = Names(request)
        self._known: set[str] = set()

    @property
    def count(self) -> int:
        """Number of combinations on actors that are in the library."""
        tracked = [actor for actor in self._names.actors if actor not in self._names.untracked]
        grids = [(grid, actor) for actor in tracked for grid in self._request.grids if actor in grid.actors]
        return sum(1 for grid, actor in grids for _ in self._names.combinations(grid, actor))

    def plan(self, planned: Callable[[], object] = lambda: None) -> SweepPlan:
        """Plan all runs, except those of actors that are not tracked yet; call ``planned`` after each combination."""
        untracked = self._names.untracked
        tracking = tuple(
            Task(
                f"tracking/{name}",
                f"track {video.path} as actor {name}",
                "tracking",
                Tracking(name, video.path, video.frames),
            )
            for name, video in untracked.items()
        )
        refused = tuple(Refused(name, reason) for name, reason in self._names.missing.items())
        later = [f"the runs on actor {name} are planned when its video is tracked" for name in untracked]
        plan = SweepPlan(tracking, refused=refused, notes=tuple(later))
        for actor in self._names.actors:
            if actor not in untracked:
                plan += self.plan_actor(actor, planned)
        return plan

    def plan_actor(self, actor: str, planned: Callable[[], object] = lambda: None) -> SweepPlan:
        """Plan the runs of one actor, which is in the library. A run that was planned already is left out.

        Args:
            actor: the name of the actor.
            planned: is called after each combination of the request.
        """
        found = _OfActor(self._known, self._request.trivial)
        for grid in self._request.grids:
            if actor not in grid.actors:
                continue
            for combination in self._names.combinations(grid, actor):
                found.add(combination)
                planned()
        return found.plan(self._shared_faces)


@dataclass
class _OfActor:
    """The runs of one actor.

    Attributes:
        known: names of all tasks that were planned so far.
        trivial: whether the trivial methods run too.
        faces: for each set of recorded frames, the names of the runs that are to be scored on them; None if a finished
            run was scored on them.
    """

    known: set[str]
    trivial: bool
    tasks: list[Task] = field(default_factory=list)
    beside: list[Task] = field(default_factory=list)
    done: list[Task] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faces: dict[FaceFinding, list[str] | None] = field(default_factory=dict)
    applied: dict[tuple[str | None, str | None, str | None, bool], AppliedProtocol] = field(default_factory=dict)
    trivial_planned: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, combination: Combination) -> None:
        """Plan a run with its edits, or the edits of a video editor.

        Raises:
            SettingError: a setting is wrong. Anything else that is wrong with a run is noted in the plan.
        """
        request = combination.request
        title = " ".join([request.method, *(f"{key}={value}" for key, value in request.settings.items())])
        title = f"{title} on actor {request.actor}" + (f" driven by {request.driver}" if request.driver else "")
        try:
            if is_video_editor(combination.cls):
                self._add_clip_edits(combination)
            else:
                self._add_avatar(combination, title)
        except SettingError:
            raise
        except UserError as error:
            self.refused.append(Refused(title, str(error)))

    def plan(self, shared_faces: bool) -> SweepPlan:
        """Return the plan: faces that several runs need come first, and the trivial methods last."""
        finding, waiting = self._face_tasks() if shared_faces else ([], {})
        tasks = [*self.tasks, *self.beside]
        names = {task.name for task in tasks}
        tasks = [
            dataclasses.replace(
                task, after=(*(name for name in task.after if name in names), *waiting.get(task.name, ()))
            )
            for task in tasks
        ]
        return SweepPlan((*finding, *tasks), tuple(self.done), tuple(self.refused), tuple(self.notes))

    def _add_clip_edits(self, combination: Combination) -> None:
        if not combination.edits:
            raise UserError("it edits videos and does nothing else: give a style")
        request = dataclasses.replace(combination.request, edits=combination.edits)
        for wanted, plan in zip(combination.edits, plan_clip_edits(request, combination.cls), strict=True):
            task = run_task(plan, dataclasses.replace(request, edits=(wanted,)))
            self._take(task, is_run_done(plan), _faces_of_run(plan, request), self.tasks)

    def _add_avatar(self, combination: Combination, title: str) -> None:
        cls, request = combination.cls, combination.request
        # Most of the time of a plan is that of the capture and the split.
        key = (request.protocol, request.driver, request.split, request.profile == SMOKE_PROFILE)
        plan = plan_run(request, applied=self.applied.get(key), cls=cls)
        self.applied[key] = plan.applied
        edits = combination.edits
        if edits and cls.edit is Method.edit:
            edits = ()
            self.notes.append(f"{cls.info.name} cannot edit what it fitted: it makes no edit")
        if request.clip != ANY_CLIP and not edits:
            plan.applied.require_clip_scores()
        run = run_task(plan, request)
        self._take(run, is_run_done(plan), _faces_of_run(plan, request), self.tasks)
        for wanted in edits:
            try:
                edit, task = plan_edit_of(plan, wanted), edit_task(plan, request, wanted)
            except SettingError:
                raise
            except UserError as error:
                self.refused.append(Refused(f"edit {wanted.style.name} of {title}", str(error)))
                continue
            faces = _faces_of(edit.applied.protocol.name, edit.applied, edit.method.resolution_px, request.device)
            self._take(task, is_edit_done(edit), faces, self.tasks)
        if self.trivial and cls.info.name not in methods.TRIVIAL:
            self._add_trivial(plan, request)

    def _add_trivial(self, plan: Plan, request: RunRequest) -> None:
        size_px = plan.method.resolution_px
        same = (request.protocol, request.driver, request.split, plan.profile, request.seed, size_px)
        if same in self.trivial_planned:
            return
        self.trivial_planned.add(same)
        beside = dataclasses.replace(
            request, actor=plan.request.actor, profile=plan.profile, settings={}, clip=plan.clip, cache=None
        )
        for name in methods.TRIVIAL:
            other = plan_trivial(name, beside, plan.applied, size_px)
            task = run_task(other, other.request)
            self._take(task, is_run_done(other), _faces_of_run(other, request), self.beside)

    def _take(self, task: Task, is_done: bool, finding: FaceFinding | None, tasks: list[Task]) -> None:
        """Add a task to ``tasks`` or to those that are done, unless it is known."""
        if task.name in self.known:
            return
        self.known.add(task.name)
        (self.done if is_done else tasks).append(task)
        if finding is None:
            return
        names = self.faces.setdefault(finding, [])
        if is_done:
            self.faces[finding] = None
        elif names is not None:
            names.append(task.name)

    def _face_tasks(self) -> tuple[list[Task], dict[str, tuple[str, ...]]]:
        """Return the tasks that find faces for several runs, and for each of these runs the name of its task."""
        tasks: list[Task] = []
        waiting: dict[str, tuple[str, ...]] = {}
        for work, names in self.faces.items():
            if names is None or len(names) < 2:
                continue
            protocol = work.protocol.rpartition("/")[2]
            name = f"faces/{work.actor}/{protocol}-{work.split}-{work.size_px}"
            title = f"faces of actor {work.actor}, {protocol} {work.split}, {work.size_px} px"
            tasks.append(Task(name, title, "faces", work))
            waiting.update(dict.fromkeys(names, (name,)))
        return tasks, waiting


def _faces_of_run(plan: Plan, request: RunRequest) -> FaceFinding | None:
    protocol = request.protocol or plan.applied.protocol.name
    return _faces_of(protocol, plan.applied, plan.method.resolution_px, request.device)


def _faces_of(protocol: str, applied: AppliedProtocol, size_px: int, device: str | None) -> FaceFinding | None:
    """Return the faces that a run is scored on; None if none is found, none is kept, or another drives or films."""
    capture = applied.capture
    if not applied.renders_own_frames:
        return None
    if not kept_folders(capture) or not face_metrics(applied, Settings(device=chosen_device(device))):
        return None
    return FaceFinding(capture.name, protocol, applied.split.name, size_px, device)
