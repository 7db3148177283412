"""What a sweep does once for several runs, and how many processes it takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.metrics import detectors
from emo_bench.runs.plan import plan_run
from emo_bench.runs.runner import make
from emo_bench.sweeps import jobs
from emo_bench.sweeps.engine import run_tasks
from emo_bench.sweeps.estimates import Estimates, chain_seconds, together_seconds
from emo_bench.sweeps.failures import Failures
from emo_bench.sweeps.in_process import InProcess
from emo_bench.sweeps.jobs import chosen_jobs
from emo_bench.sweeps.planning import SweepPlanner
from emo_bench.sweeps.request import SweepRequest
from emo_bench.sweeps.sweep import Sweep
from emo_bench.sweeps.task import Making, Task, Tracking
from emo_bench.sweeps.work import do_task
from emo_bench.tracking.landmarks import Landmarker
from protocols.sweeps import Grid, SweepFile, load_sweep

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_home(actor_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a copy of the actor, without what other tests keep beside it, in files or in memory."""
    home, capture = tmp_path / "home", Path("captures", "dot")
    (home / capture).mkdir(parents=True)
    for name in ("video.mp4", "track.npz", "capture.json"):
        shutil.copyfile(actor_home / capture / name, home / capture / name)
    detectors.open_detector.cache_clear()
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")
    return home


@pytest.fixture
def with_faces(tmp_path: Path, quick_protocol_text: str) -> str:
    """The quick protocol, with a metric that finds faces."""
    file = tmp_path / "quick.toml"
    file.write_text(quick_protocol_text.replace('"psnr", "ssim", "sd"', '"psnr", "flmd"'))
    return str(file)


def request(protocol: str, runs: Path, *names: str, **more: Any) -> SweepRequest:
    grid = Grid(methods=names, actors=("dot",), protocols=(protocol,), profile="smoke", **more)
    return SweepRequest((grid,), runs, "cpu", trivial=False)


def test_faces_of_recorded_frames_are_found_by_one_task_and_by_no_run(
    own_home: Path, tmp_path: Path, with_faces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(with_faces, tmp_path / "runs", "mean-frame", "nearest-frame", seeds=(0, 1))
    plan = SweepPlanner(wanted, shared_faces=True).plan()
    assert [task.kind for task in plan.tasks] == ["faces", *["run"] * 4]
    assert {task.after for task in plan.tasks[1:]} == {(plan.tasks[0].name,)}
    assert [task.kind for task in SweepPlanner(wanted).plan().tasks] == ["run"] * 4, "one after the other shares anyway"
    detect, seen = Landmarker.detect, []

    def counted(self: Landmarker, frame: Any) -> Any:
        seen.append(frame.tobytes())
        return detect(self, frame)

    monkeypatch.setattr(Landmarker, "detect", counted)
    do_task(plan.tasks[0])
    recorded = [frame.tobytes() for frame in actors.load("dot").frames(range(138, 150), size=64)]
    assert sorted(seen) == sorted(set(recorded)), "each held-out frame once"
    seen.clear()
    # Another process has an empty memory: only what is kept in files counts.
    detectors.open_detector.cache_clear()
    do_task(plan.tasks[1])
    assert not set(seen) & set(recorded), "the mean frame only"


def test_no_task_finds_faces_that_a_finished_run_has_kept(own_home: Path, tmp_path: Path, with_faces: str) -> None:
    one = SweepPlanner(request(with_faces, tmp_path / "runs", "mean-frame")).plan().tasks[0]
    assert isinstance(one.work, Making)
    make(plan_run(one.work.request))
    more = SweepPlanner(request(with_faces, tmp_path / "runs", "mean-frame", seeds=(0, 1, 2)), shared_faces=True)
    plan = more.plan()
    assert [task.kind for task in plan.tasks] == ["run", "run"] and len(plan.done) == 1


def test_metrics_without_faces_need_no_such_task(own_home: Path, tmp_path: Path, protocol_file: str) -> None:
    wanted = request(protocol_file, tmp_path / "runs", "mean-frame", "nearest-frame")
    assert [task.kind for task in SweepPlanner(wanted, shared_faces=True).plan().tasks] == ["run", "run"]


@pytest.mark.parametrize("tracked", [True, False])
def test_a_video_is_tracked_once_before_the_runs_on_its_actor(
    own_home: Path, tmp_path: Path, protocol_file: str, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    """The tracker itself has its own tests; here a copy of the other actor stands for its result."""
    video = tmp_path / "anna.mp4"
    shutil.copy(own_home / "captures" / "dot" / "video.mp4", video)
    calls = []

    def add_video(path: Path, name: str) -> None:
        calls.append((path, name))
        if not tracked:
            raise UserError("there is no face in this video")
        shutil.copytree(own_home / "captures" / "dot", own_home / "captures" / name)

    monkeypatch.setattr("emo_bench.actors.add.add_video", add_video)
    grid = Grid(methods=("mean-frame", "nearest-frame"), actors=("anna", "dot"), protocols=(protocol_file,),
                profile="smoke")  # fmt: skip
    wanted = SweepRequest((grid,), tmp_path / "runs", "cpu", False, {"anna": video})
    planner = SweepPlanner(wanted)
    plan = planner.plan()
    assert [task.kind for task in plan.tasks] == ["tracking", "run", "run"]
    assert plan.tasks[0].work == Tracking("anna", video, 150)
    assert plan.notes == ("the runs on actor anna are planned when its video is tracked",)
    folder = tmp_path / "runs" / "sweeps" / "s"
    folder.mkdir(parents=True)
    outcome = Sweep(planner, folder, Failures(folder), Estimates(tmp_path / "runs")).carry_out(plan, InProcess())
    assert calls == [(video, "anna")]
    made = sorted(path.parts[-3] for path in outcome.folders)
    assert made == (["anna", "anna", "dot", "dot"] if tracked else ["dot", "dot"])
    assert outcome.is_whole == tracked
    assert [result.reason for result in outcome.failed] == ([] if tracked else ["there is no face in this video"])


def test_the_example_of_the_page_is_a_sweep(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
    file = tmp_path / "page.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    first, second = load_sweep(str(file)).grids()
    assert (first.profile, first.seeds, second.styles) == ("cpu", (0, 1), ("comic", "cartoon"))
    assert list(second.variants()) == [{"edit.steps": "80"}, {"edit.steps": "160"}]
    assert {grid.profile for grid in load_sweep(str(file)).grids("smoke")} == {"smoke"}


def test_the_sweep_of_the_results_makes_the_published_runs(tmp_path: Path) -> None:
    """Those of the bundled actors; the filmed man's video is not in the repository."""
    published = ROOT / "docs" / "results"
    folders = {path.parent.relative_to(published) for path in published.rglob("run.json")}
    bundled = {folder.as_posix() for folder in folders if folder.parts[1] != "franck"}
    sweep = load_sweep("results")
    plan = SweepPlanner(SweepRequest(sweep.grids(), tmp_path, "cpu", sweep.trivial)).plan()
    assert {task.name for task in plan.tasks} == bundled
    assert plan.refused == () and plan.notes == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("methods = []", "grid.0.methods"),
        ('methods = ["insta"]\nseeds = [-1]', "grid.0.seeds.0"),
        ('methods = ["insta"]\nmethod = "insta"', "grid.0: there is no key 'method'"),
        ('methods = ["insta"]\nsettings = { steps = [] }', "grid.0.settings.steps"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, wrong: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f'version = 1\ntitle = "t"\n[[grid]]\nactors = ["1"]\n{wrong}\n')
    with pytest.raises(UserError, match=message):
        load_sweep(str(file))


def test_all_combinations_of_settings_are_variants() -> None:
    grid = Grid(methods=("m",), actors=("a",), settings={"x": [1, 2], "y": [True, "b"], "z": 0.5})
    assert len(list(grid.variants())) == 4
    assert {"x": "2", "y": "true", "z": "0.5"} in list(grid.variants())
    assert isinstance(SweepFile(version=1, title="t", grid=(grid,)).grids()[0], Grid)


@pytest.mark.parametrize(
    ("asked", "free_gib", "memory_mib", "count"),
    [("auto", 100, None, 3), ("auto", 5, None, 2), ("auto", 1, None, 1), ("auto", 8, 4096.0, 2), ("7", 1, None, 7)],
)
def test_processes_by_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, asked: str, free_gib: float, memory_mib: float | None, count: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free_gib * 2**30))
    assert chosen_jobs(asked, "cpu", memory_mib).count == count


@pytest.mark.parametrize(("visible", "gpus"), [(None, ("0", "1")), ("4, 7", ("4", "7"))])
def test_a_process_for_each_gpu(monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: tuple[str, ...]) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(jobs, "chosen_device", lambda device: "cuda:0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = chosen_jobs("auto", None)
    assert (found.count, found.gpus) == (2, gpus)


def test_the_time_of_a_plan_is_bounded_by_its_longest_chain_and_by_its_sum() -> None:
    names = {"a": (), "b": ("a",), "c": ("b",), "d": (), "e": ()}
    tasks = [Task(name, name, "tracking", Tracking(name, Path("v"), 1), after=after) for name, after in names.items()]
    seconds = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}
    assert chain_seconds(tasks, seconds) == 6
    assert [together_seconds(tasks, seconds, capacity) for capacity in (1, 2, 100)] == [15, 7.5, 6]


def test_a_damaged_list_of_failures_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(tmp_path)
    failures.add("a/b", "it broke", tmp_path / "a.log")
    assert Failures(tmp_path).kept["a/b"].reason == "it broke"
    (tmp_path / "failed.json").write_text('{"a/b": 3}')
    assert Failures(tmp_path).kept == {} and "is damaged and is ignored" in caplog.text


def test_a_failure_in_this_process_is_a_result(tmp_path: Path) -> None:
    task = Task("tracking/x", "track x", "tracking", Tracking("x", tmp_path / "none.mp4", 1))
    (result,) = run_tasks([task], InProcess(), logs=tmp_path)
    assert result.state == "failed" and "none.mp4" in result.reason
    assert "track x failed" in (tmp_path / "tracking" / "x.log").read_text()
