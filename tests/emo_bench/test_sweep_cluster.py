"""The cluster's executor over submitit's local one: real job processes, real requeues; and what Slurm is asked for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from emo_bench.errors import UserError
from emo_bench.runs.manifest import read_manifest
from emo_bench.sweeps.cluster import Cluster, slurm
from emo_bench.sweeps.engine import Result, run_tasks
from emo_bench.sweeps.in_process import InProcess
from emo_bench.sweeps.planning import SweepPlanner
from emo_bench.sweeps.request import SweepRequest
from emo_bench.sweeps.slurm_queue import SlurmQueue
from protocols.sweeps import Grid

submitit = pytest.importorskip("submitit")

# Its fit keeps a checkpoint and waits; an attempt that finds the checkpoint continues from it.
METHOD = """
import os, time
from pathlib import Path
import numpy as np
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, MethodInfo

class Slow(Method):
    info = MethodInfo("slow", "Slow", "", "MIT", frozenset({"render"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train):
        folder, level = self.workspace.folder, self.workspace.settings.get("level", "50")
        if level == "bad":
            raise UserError("this level is bad")
        half, steps = folder / "half.txt", folder / "steps.txt"
        with steps.open("a") as file:
            file.write("second\\n" if half.exists() else "first\\n")
        if not half.exists():
            half.write_text(str(int(level) // 2))
            while os.environ.get("WAIT") == "1":
                time.sleep(0.02)
        (folder / "level.txt").write_text(str(int(half.read_text()) * 2))

    def load(self): ...

    def render(self, capture, indices):
        level = int((self.workspace.folder / "level.txt").read_text())
        for i in indices:
            yield np.full((64, 64, 3), level + i % 3, np.uint8)
"""


@pytest.fixture
def planned(actor: str, tmp_path: Path, protocol_file: str) -> Callable[..., SweepPlanner]:
    """Plans a sweep of the method over levels."""
    (tmp_path / "slow.py").write_text(METHOD)

    def plan(runs: Path, *levels: str) -> SweepPlanner:
        grid = Grid(
            methods=(f"{tmp_path / 'slow.py'}:Slow",), actors=(actor,), protocols=(protocol_file,), profile="smoke",
            settings={"level": levels},
        )  # fmt: skip
        return SweepPlanner(SweepRequest((grid,), runs, "cpu", trivial=False))

    return plan


def local_cluster(folder: Path) -> Cluster:
    """A cluster whose jobs are processes of submitit on this machine."""
    jobs = submitit.LocalExecutor(folder / "jobs")
    jobs.update_parameters(timeout_min=5)
    return Cluster(jobs)


def on_cluster(tmp_path: Path, planner: SweepPlanner) -> dict[str, Result]:
    results = run_tasks(planner.plan().tasks, local_cluster(tmp_path), logs=tmp_path / "logs")
    return {result.task.title.partition(" on ")[0]: result for result in results}


def frames(runs: Path, level: str) -> str:
    manifest = read_manifest(runs / "quick" / "dot" / f"slow+level={level}" / "smoke-s0")
    return str(manifest["stages"]["render"]["frames_sha256"])


def test_jobs_make_the_same_runs_and_tell_why_one_failed(planned: Callable[..., SweepPlanner], tmp_path: Path) -> None:
    results = on_cluster(tmp_path, planned(tmp_path / "there", "50", "bad"))
    assert {name: result.state for name, result in results.items()} == {
        "slow level=50": "done",
        "slow level=bad": "failed",
    }
    assert results["slow level=bad"].reason == "this level is bad"
    log = tmp_path / "logs" / "quick" / "dot" / "slow+level=50" / "smoke-s0.log"
    assert "fit: done" in log.read_text(), "the log lies where that of a local process does"
    assert all(
        result.state == "done" for result in run_tasks(planned(tmp_path / "here", "50").plan().tasks, InProcess())
    )
    assert frames(tmp_path / "there", "50") == frames(tmp_path / "here", "50")


def test_a_preempted_job_is_requeued_and_continues_from_the_checkpoint(
    planned: Callable[..., SweepPlanner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIT", "1")
    cluster = local_cluster(tmp_path)
    (task,) = planned(tmp_path / "runs", "50").plan().tasks
    log = tmp_path / "task.log"
    cluster.submit(task, log)
    assert cluster.ended(0.0) == []
    folder = tmp_path / "runs" / "quick" / "dot" / "slow+level=50" / "smoke-s0"
    wait_until((folder / "half.txt").exists)
    # The signal that Slurm sends before it preempts a job or ends its time.
    (job,) = [p for p in psutil.Process().children(recursive=True) if "submitit.core._submit" in p.cmdline()]
    workers = job.children(recursive=True)
    assert workers
    job.send_signal(signal.SIGUSR2)
    end = time.monotonic() + 120
    while not (over := cluster.ended(1.0)):
        assert time.monotonic() < end
    assert [(one.name, one.reason) for one in over] == [(task.name, None)]
    assert not psutil.wait_procs(workers, timeout=5)[1], "the process of the first attempt has ended"
    assert (folder / "steps.txt").read_text().split() == ["first", "second"]
    assert log.read_text().count(task.title) == 2, "both attempts write to one log"
    monkeypatch.delenv("WAIT")
    list(run_tasks(planned(tmp_path / "here", "50").plan().tasks, InProcess()))
    assert frames(tmp_path / "runs", "50") == frames(tmp_path / "here", "50")


def test_a_sweep_that_ends_cancels_its_jobs(
    planned: Callable[..., SweepPlanner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIT", "1")
    cluster = local_cluster(tmp_path)
    (task,) = planned(tmp_path / "runs", "50").plan().tasks
    # The browser of other tests may still run in this process.
    earlier = set(psutil.Process().children(recursive=True))
    cluster.submit(task, None)
    cluster.ended(0.0)
    wait_until((tmp_path / "runs" / "quick" / "dot" / "slow+level=50" / "smoke-s0" / "half.txt").exists)
    children = [child for child in psutil.Process().children(recursive=True) if child not in earlier]
    assert children
    cluster.close()
    assert not psutil.wait_procs(children, timeout=30)[1]


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Slurm's commands that keeps what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    kept = tmp_path / "submitted.sh"
    for name, script in (
        ("sbatch", f'cp "$1" {kept}; echo Submitted batch job 77'),
        ("srun", "true"),
        ("squeue", f"cat {tmp_path / 'queue'}"),
        ("scancel", f"echo $1 >> {tmp_path / 'cancelled'}"),
    ):
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return kept


def test_slurm_gets_one_array_with_the_options(
    planned: Callable[..., SweepPlanner], tmp_path: Path, sbatch: Path
) -> None:
    options = {"partition": "short", "gpus_per_node": 1, "mem": "8GB"}
    cluster = slurm(tmp_path / "slurm", options, minutes=45, threads=3)
    for task in planned(tmp_path / "runs", "1", "2", "3").plan().tasks:
        cluster.submit(task, None)
    assert cluster.ended(0.0) == []
    text = sbatch.read_text(encoding="utf-8")
    for line in (
        "--array=0-2%3", "--partition=short", "--gpus-per-node=1", "--mem=8GB", "--time=45", "--cpus-per-task=3",
        "--requeue", "--signal=USR2@90", "--job-name=emo-bench", "--open-mode=append",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    cluster.close()
    assert sorted((tmp_path / "cancelled").read_text().split()) == ["77_0", "77_1", "77_2"]


def test_a_job_that_slurm_ended_without_a_result_is_a_failure(
    planned: Callable[..., SweepPlanner], tmp_path: Path, sbatch: Path
) -> None:
    now = [0.0]
    jobs = submitit.SlurmExecutor(tmp_path / "slurm")
    cluster = Cluster(jobs, queue=SlurmQueue(lambda: now[0]))
    tasks = planned(tmp_path / "runs", "1", "2", "3").plan().tasks
    for task in tasks:
        cluster.submit(task, None)
    queue = tmp_path / "queue"

    def told(at_s: float, states: str) -> dict[str, str | None]:
        now[0] = at_s
        queue.write_text(states)
        return {ended.name: ended.reason for ended in cluster.ended(0.0)}

    assert told(0, "77_0 PENDING\n77_1 RUNNING\n77_2 RUNNING\n") == {}
    assert told(20, "77_0 PENDING\n77_1 OUT_OF_MEMORY\n77_2 NODE_FAIL\n") == {}, "the result may be on its way"
    assert told(70, "77_0 PENDING\n77_1 OUT_OF_MEMORY\n77_2 PENDING\n") == {}
    lost = told(90, "77_0 RUNNING\n77_1 OUT_OF_MEMORY\n77_2 RUNNING\n")
    assert list(lost) == [tasks[1].name] and "job 77_1 ended without a result (OUT_OF_MEMORY)" in str(lost)
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert told(300, "") == {}, "Slurm does not answer: nobody knows"
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\ncat {queue}\n")
    assert told(400, "") == {}
    assert set(told(500, "")) == {tasks[0].name, tasks[2].name}, "they left the queue without a result"


@pytest.mark.parametrize(
    ("options", "message"), [({"colour": "red"}, r"--slurm: .*colour"), ({"time": "2:00"}, "give whole minutes")]
)
def test_a_wrong_option_of_slurm_is_one_line(
    tmp_path: Path, sbatch: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        slurm(tmp_path / "slurm", options, minutes=5, threads=1)


def test_without_slurm_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no srun here"):
        slurm(tmp_path / "slurm", {}, minutes=5, threads=1)


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
