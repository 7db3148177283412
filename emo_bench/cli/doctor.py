"""``emo-bench doctor``: what works here."""

import typer

from emo_bench.cli.output import Json, print_json

EXAMPLE = "Example: emo-bench doctor"


def doctor(as_json: Json = False) -> None:
    """Check what works on this machine, one line each, with the remedy. Exit code 1 when a needed part fails."""
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
