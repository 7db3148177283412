"""The command line. Commands import what they need when they run, so that ``--help`` comes at once."""

import sys
from collections.abc import Sequence

# What typer makes of Ctrl-C.
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``emo-bench`` and exit: 0 ok, 1 a check failed, 2 the user's mistake (one line on stderr)."""
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    import typer

    from emo_bench.cli.app import app
    from emo_bench.console import show_any_text
    from emo_bench.errors import UserError

    show_any_text()
    try:
        code = app(args=arguments, prog_name="emo-bench", standalone_mode=False)
    except UserError as error:
        return _mistake(str(error))
    except typer.TyperException as error:
        return _mistake(f"{_command(error)}{_first_line(error)}")
    if code == INTERRUPTED:
        print("emo-bench: interrupted; the same command goes on from here", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _mistake(line: str) -> int:
    print(f"emo-bench: {line}", file=sys.stderr)
    return 2


def _first_line(error: Exception) -> str:
    """The message in one line, in the form that names the option at fault."""
    message = getattr(error, "format_message", error.__str__)()
    return " ".join(message.split())


def _command(error: Exception) -> str:
    """``run: `` where the error knows its command."""
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix("emo-bench").strip() if context is not None else ""
    return f"{path}: " if path else ""
