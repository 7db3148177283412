"""The executor that gives tasks to a cluster through submitit: Slurm, or submitit's own processes in tests."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench.errors import UserError
from emo_bench.sweeps.executor import Ended, Executor
from emo_bench.sweeps.local_processes import LocalProcesses
from emo_bench.sweeps.slurm_queue import SlurmQueue
from emo_bench.sweeps.task import Task, task_from_json, task_to_json

if TYPE_CHECKING:
    import submitit

POLL_S = 1.0
# More tasks than this are not given to the cluster at a time; Slurm's own limit of an array is 1001 by default.
CAPACITY = 1000
# How often a job may reach its time limit and continue.
MOST_TIMEOUTS = 20
# Time between Slurm's warning and the end of a job: it covers the time that a process has to end in order.
WARNING_S = 90
# A process was told to end: Slurm preempts its job, and kills and requeues it within this time.
PREEMPTION_S = 900.0


class Cluster(Executor):
    """Gives tasks to a submitit executor as jobs; jobs that are ready at the same time are one array.

    Args:
        jobs: the submitit executor; its folder and the folder of runs must be seen by all nodes.
        threads: threads of each task.
        queue: the queue of Slurm; None if ``jobs`` knows itself whether a job has ended.
    """

    capacity = CAPACITY

    def __init__(self, jobs: submitit.Executor, *, threads: int = 1, queue: SlurmQueue | None = None) -> None:
        self._jobs, self._threads, self._queue = jobs, threads, queue
        self._new: list[tuple[Task, Path | None]] = []
        self._running: dict[str, submitit.Job[Ended]] = {}

    def submit(self, task: Task, log: Path | None) -> None:
        """Take a task; it becomes a job when :meth:`ended` is called."""
        self._new.append((task, log))

    def ended(self, timeout_s: float) -> list[Ended]:
        """Give the new tasks to the cluster, and wait until a job ends, at most ``timeout_s``."""
        self._send()
        give_up = time.monotonic() + timeout_s
        while True:
            over = self._over()
            if over or time.monotonic() > give_up:
                for one in over:
                    del self._running[one.name]
                return over
            time.sleep(min(POLL_S, max(timeout_s, 0.0)))

    def close(self) -> None:
        """Cancel the jobs that are not over."""
        for job in self._running.values():
            job.cancel(check=False)
        self._running.clear()

    def _over(self) -> list[Ended]:
        if self._queue is None:
            return [_ended(name, job) for name, job in self._running.items() if job.done()]
        over, waiting = [], {}
        for name, job in self._running.items():
            if job.paths.result_pickle.exists():
                over.append(_ended(name, job))
            else:
                waiting[name] = job
        ended = self._queue.ended([job.job_id for job in waiting.values()])
        return over + [_lost(name, job, ended[job.job_id]) for name, job in waiting.items() if job.job_id in ended]

    def _send(self) -> None:
        if not self._new:
            return
        new, self._new = self._new, []
        with self._jobs.batch():
            sent = [self._jobs.submit(ClusterWork(task_to_json(task), log, self._threads)) for task, log in new]
        self._running.update({task.name: job for (task, _), job in zip(new, sent, strict=True)})


class ClusterWork:
    """What a job of the cluster does: one task in a process of its own, which can be ended and continued.

    Args:
        task_json: the task.
        log: the file to which its output is appended.
        threads: threads of the process.
    """

    def __init__(self, task_json: bytes, log: Path | None, threads: int) -> None:
        self._given = (task_json, log, threads)
        self._process: LocalProcesses | None = None

    def __call__(self) -> Ended:
        """Do the task, and return how it ended."""
        task_json, log, threads = self._given
        self._process = LocalProcesses(1, threads=threads)
        self._process.submit(task_from_json(task_json), log)
        while not (over := self._process.ended(POLL_S)):
            pass
        if over[0].by_signal == signal.SIGTERM:
            # The job is about to be killed and requeued: it must not report a failure before.
            time.sleep(PREEMPTION_S)
        return over[0]

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """End the process in order before the job's time is over; the same job then continues the task."""
        import submitit

        if self._process is not None:
            self._process.close()
        return submitit.helpers.DelayedSubmission(ClusterWork(*self._given))


def slurm(folder: Path, options: Mapping[str, Any], *, minutes: int, threads: int) -> Cluster:
    """Return the executor for the Slurm cluster of this machine.

    Args:
        folder: where submitit keeps its files; all nodes see it.
        options: options of submitit's Slurm executor, e.g. ``{"partition": "gpu", "gpus_per_node": 1}``.
        minutes: time limit of a job, if ``options`` has no ``time``. A job that reaches it continues in a new job.
        threads: threads of each task, and processors of each job if ``options`` does not say.

    Raises:
        UserError: submitit or Slurm is not here, or there is no such option.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("sweeps on Slurm need the package submitit: pip install 'emo-bench[cluster]'") from error
    if shutil.which("srun") is None:
        raise UserError("there is no srun here: give this command on a machine of a Slurm cluster")
    jobs = submitit.SlurmExecutor(folder.absolute(), max_num_timeout=MOST_TIMEOUTS)
    defaults = {
        "job_name": "emo-bench",
        "time": minutes,
        "cpus_per_task": threads,
        "signal_delay_s": WARNING_S,
        "additional_parameters": {"requeue": True},
    }
    if not isinstance(options.get("time", minutes), int):
        raise UserError(f"--slurm time={options['time']}: give whole minutes")
    try:
        jobs.update_parameters(**{**defaults, **options})
    except ValueError as error:
        raise UserError(f"--slurm: {' '.join(str(error).split())}") from error
    return Cluster(jobs, threads=threads, queue=SlurmQueue())


def _ended(name: str, job: submitit.Job[Ended]) -> Ended:
    """Return how the task of a job that is over ended."""
    if job.exception() is not None:
        return _lost(name, job, job.state)
    ended: Ended = job.result()
    return ended


def _lost(name: str, job: submitit.Job[Ended], state: str) -> Ended:
    return Ended(name, f"job {job.job_id} ended without a result ({state}); its output: {job.paths.stderr}")
