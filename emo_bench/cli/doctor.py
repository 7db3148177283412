"""``emo-bench doctor``: check what works on this machine."""

import typer

from emo_bench.cli.options import Json, examples
from emo_bench.cli.output import print_json

EXAMPLE = examples("doctor")


def doctor(as_json: Json = False) -> None:
    """Check what works on this machine, and say how to fix the rest.

    Exit codes: 0: all required parts work; 1: a required part does not work.
    """
    from emo_bench.doctor.checks import run_checks

    checks = run_checks()
    if as_json:
        print_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "ok  " if check.ok else "FAIL" if check.required else "-   "
            remedy = f"; fix: {check.remedy}" if check.remedy else ""
            print(f"{mark} {check.name.ljust(width)}  {check.detail}{remedy}")
    if any(check.required and not check.ok for check in checks):
        raise typer.Exit(1)
