"""A command that is terminated ends as terminated, whatever its libraries make of the exception."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emo_bench.errors import Terminated, UserError
from emo_bench.system.signals import leaving_in_order


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_error_made_of_the_termination_does_not_replace_it(number: signal.Signals) -> None:
    def work() -> None:
        with leaving_in_order():
            try:
                os.kill(os.getpid(), number)
            except BaseException as error:
                raise UserError("a module cannot be imported") from error

    with pytest.raises(Terminated) as ended:
        work()
    assert ended.value.code == 128 + number
    assert isinstance(ended.value.__cause__, UserError)


def test_a_termination_that_was_swallowed_ends_the_block() -> None:
    def work() -> None:
        with leaving_in_order(), contextlib.suppress(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):
        work()


def test_an_error_without_a_signal_passes() -> None:
    with pytest.raises(UserError, match="plain"), leaving_in_order():
        raise UserError("plain")


def test_a_command_that_is_terminated_while_it_imports_a_method_has_the_exit_code_of_that(tmp_path: Path) -> None:
    method = tmp_path / "terminated.py"
    method.write_text("import os\nimport signal\n\nos.kill(os.getpid(), signal.SIGTERM)\n")
    command = [sys.executable, "-m", "emo_bench", "methods", "check", f"{method}:Method"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 143, done.stderr
    assert "cannot be imported" not in done.stderr
