"""The commands and their groups. This module and those of the commands import nothing heavy."""

from typing import Annotated

import typer

from emo_bench import __version__
from emo_bench.cli import (
    ablate,
    actors,
    assets,
    check,
    compare,
    doctor,
    drive,
    listings,
    report,
    run,
    score,
    show,
    study,
    sweep,
    verify,
)
from emo_bench.cli.options import examples

# The help is plain: rich takes a tenth of a second and breaks lines that users copy.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Compare head avatars under one fixed protocol.",
    epilog=examples("run --method emo-avatar --actor 1", "report"),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"emo-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("drive", epilog=drive.EXAMPLE)(drive.drive)
app.command("sweep", epilog=sweep.EXAMPLE)(sweep.sweep)
app.command("ablate", epilog=ablate.EXAMPLE)(ablate.ablate)
app.command("score", epilog=score.EXAMPLE)(score.score)
app.command("check", epilog=check.EXAMPLE)(check.check)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("show", epilog=show.EXAMPLE)(show.show)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)
app.add_typer(actors.app, name="actors")
app.add_typer(listings.methods, name="methods")
app.add_typer(listings.metrics, name="metrics")
app.add_typer(listings.protocols, name="protocols")
app.add_typer(assets.app, name="assets")
app.add_typer(study.app, name="study")
