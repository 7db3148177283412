"""emo-bench: a benchmark of head avatars under one fixed protocol: which avatar is better, and by how much."""

from typing import TYPE_CHECKING

import lazy_loader

from emo_bench.system.threads import bound_spinning

if TYPE_CHECKING:
    from emo_bench.api.calls import edit, file_frames, load_run, report, run, score
    from emo_bench.api.results import FrameScores, Report, RunResult
    from emo_bench.api.verifying import verify
    from emo_bench.runs.finished import FinishedRun
    from emo_bench.runs.verification import Verified

__version__ = "0.1.0"
__all__ = [
    "FinishedRun",
    "FrameScores",
    "Report",
    "RunResult",
    "Verified",
    "edit",
    "file_frames",
    "load_run",
    "report",
    "run",
    "score",
    "verify",
]

# The setting is here because every process of ours imports this package before it loads torch.
bound_spinning()

# Nothing heavy is imported before one of these names is used.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "api.calls": ["edit", "file_frames", "load_run", "report", "run", "score"],
        "api.results": ["FrameScores", "Report", "RunResult"],
        "api.verifying": ["verify"],
        "runs.finished": ["FinishedRun"],
        "runs.verification": ["Verified"],
    },
)
