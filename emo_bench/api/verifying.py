"""``emo_bench.verify``: check that a run is as it was written, and that its scores come out again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from emo_bench.api.arguments import checked
from emo_bench.errors import UserError
from emo_bench.runs.manifest import MANIFEST
from emo_bench.runs.settings import Value
from emo_bench.runs.verification import Verification, Verified, allowed_differences
from emo_bench.runs.verification import verify as verify_run
from emo_bench.system.devices import chosen_device


@checked
def verify(
    run: str | PathLike[str],
    *,
    render: bool = False,
    checksums_only: bool = False,
    tolerance: Mapping[str, Value] | None = None,
    device: str | None = None,
    trust: bool = False,
) -> Verified:
    """Check a run for changes, and score it again. ``emo-bench verify`` does the same for several runs.

    Args:
        run: the folder of a run or an edit. Nothing in it is changed.
        render: also render the held-out frames again from the checkpoint.
        checksums_only: check the files only; score nothing again.
        tolerance: by metric id, the allowed difference of a score in a frame; default: 0 on the machine of the run, and
            the values of docs/verify.md on another one.
        device: ``cpu`` or ``cuda``; default: the kind that the run used.
        trust: allow the execution of method and metric files that the run's ``run.json`` names.

    Returns:
        The checks. ``holds`` is False if something differs.

    Raises:
        UserError: there is no run, or an argument is wrong.

    Example:
        >>> emo_bench.verify("runs/self_reenactment/1/emo-avatar/cpu-s0").holds
    """
    if render and checksums_only:
        raise UserError("render and checksums_only exclude each other")
    folder = Path(run).absolute()
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{run} is no run: give the folder that holds {MANIFEST}")
    how = Verification(
        not checksums_only,
        render,
        chosen_device(device) if device else None,
        allowed_differences(tolerance or {}),
        trust,
    )
    return verify_run(folder, how)
