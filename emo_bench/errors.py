"""What a user can mend."""

import sys
from collections.abc import Callable

from emo_bench.console import show_any_text


class UserError(Exception):
    """The user's mistake or a missing piece: one clear line that says what is wrong and what to do.

    The command line prints the line without a traceback and exits with code 2.
    """


def exit_code(work: Callable[[], object]) -> int:
    """Do the work of a ``python -m MODULE`` and print what it returns: 0, or 2 and one line on stderr for a UserError."""
    show_any_text()
    try:
        made = work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if made is not None:
        print(made)
    return 0
