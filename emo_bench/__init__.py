"""emo-bench: which head avatar is better, under one fixed protocol, and by how much."""

from typing import TYPE_CHECKING

import lazy_loader

from emo_bench.system.threads import bound_spinning

if TYPE_CHECKING:
    from emo_bench.api.calls import edit, file_frames, load_run, report, run, score
    from emo_bench.api.results import FrameScores, Report, RunResult
    from emo_bench.runs.finished import FinishedRun

__version__ = "0.1.0"
__all__ = [
    "FinishedRun",
    "FrameScores",
    "Report",
    "RunResult",
    "edit",
    "file_frames",
    "load_run",
    "report",
    "run",
    "score",
]

# Set here, because every process of ours imports this package before it loads torch.
bound_spinning()

# Nothing heavy is imported before one of these is asked for.
__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "api.calls": ["edit", "file_frames", "load_run", "report", "run", "score"],
        "api.results": ["FrameScores", "Report", "RunResult"],
        "runs.finished": ["FinishedRun"],
    },
)
