"""Whether a planned run or edit is finished, so that making it again would change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.methods.interface import Method
from emo_bench.runs.applied_protocol import AppliedProtocol
from emo_bench.runs.checksums import other_base
from emo_bench.runs.finished import load_run
from emo_bench.runs.identity import identity_of_edit, identity_of_run
from emo_bench.runs.manifest import MANIFEST, read_manifest
from emo_bench.runs.plan import EditPlan, Plan
from emo_bench.runs.stages import score_inputs
from emo_bench.runs.store import PREVIEW, RENDER, RunFolder
from emo_bench.untrusted.plain_json import plain


def is_run_done(plan: Plan) -> bool:
    """Return whether the folder holds this run, finished, undamaged, and scored by today's metrics.

    The content of large files (``render.mkv``, checkpoints) is not read; ``emo-bench verify`` does that.
    """
    manifest = _finished_manifest(plan.folder)
    if manifest is None or manifest["identity"] != plain(identity_of_run(plan)):
        return False
    return _is_up_to_date(plan.folder, manifest, plan.method, plan.applied, plan.clip)


def is_edit_done(plan: EditPlan) -> bool:
    """Return whether the folder holds this edit, finished and undamaged as for :func:`is_run_done`, of today's fit."""
    manifest = _finished_manifest(plan.folder)
    if manifest is None:
        return False
    try:
        base = read_manifest(plan.run)
    except UserError:
        return False
    if manifest["identity"] != plain(identity_of_edit(plan, base)) or other_base(manifest, base) is not None:
        return False
    return _is_up_to_date(plan.folder, manifest, plan.method, plan.applied, plan.clip)


def _finished_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished, undamaged run; None if there is none."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return load_run(folder).manifest
    except UserError:
        # The code that makes the run says what is wrong, or does the damaged part again.
        return None


def _is_up_to_date(
    folder: Path, manifest: Mapping[str, Any], method: Method, applied: AppliedProtocol, clip: str
) -> bool:
    run = RunFolder(folder, dict(manifest))
    files = all((folder / name).is_file() for name in (RENDER, PREVIEW))
    return (
        files
        and run.finished("render", method.render_inputs())
        and run.finished("score", score_inputs(applied.protocol, clip))
    )
