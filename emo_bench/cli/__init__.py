"""The command line. Commands import what they need only when they run, so that ``--help`` is fast."""

import sys
from collections.abc import Sequence

PROGRAM = "emo-bench"
# Typer has no public name for the exception of a group that was given without a command.
_NO_COMMAND = "NoArgsIsHelpError"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``emo-bench`` and exit.

    Exit codes: 0: done; 1: a check or a plug-in failed; 2: wrong input, or something that the machine refuses, in one
    line on stderr, or a group of commands without a command, which prints its help; 70: a bug in emo-bench, with its
    traceback; 130: interrupted; 129 or 143: ended by SIGHUP or
    SIGTERM.
    """
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    import typer

    from emo_bench.errors import INTERRUPTED, MISTAKE
    from emo_bench.system.endings import ending
    from emo_bench.system.signals import leaving_in_order
    from emo_bench.text.console import open_closed_streams, show_any_text

    open_closed_streams()
    show_any_text()
    try:
        from emo_bench import paths
        from emo_bench.plug_ins import own_packages

        # This comes before any command imports reports, protocols or a method.
        own_packages.claim()
        from emo_bench.cli.app import app

        paths.pin()
        # A command that is terminated removes its unfinished files.
        with leaving_in_order():
            code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        if type(error).__name__ == _NO_COMMAND:
            return _show_help(error)
        print(f"{PROGRAM}: {_command(error)}{_first_line(error)}", file=sys.stderr)
        return MISTAKE
    except BaseException as error:  # noqa: BLE001 - the one door
        return ending(error, PROGRAM)
    if code == INTERRUPTED:
        # Typer raises this for Ctrl-C.
        return ending(KeyboardInterrupt(), PROGRAM)
    return code if isinstance(code, int) else 0


def _show_help(error: Exception) -> int:
    """Print the help of ``emo-bench`` or of a group that was given without a command; return the exit code."""
    from emo_bench.errors import MISTAKE

    context = error.ctx  # type: ignore[attr-defined]
    print(context.get_help())
    sys.stdout.flush()
    return 0 if context.parent is None else MISTAKE


def _first_line(error: Exception) -> str:
    """Return the message in one line, in the form that names the wrong option."""
    message = getattr(error, "format_message", error.__str__)()
    return " ".join(message.split())


def _command(error: Exception) -> str:
    """Return ``run: `` if the error knows its command."""
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix(PROGRAM).strip() if context is not None else ""
    return f"{path}: " if path else ""
