"""A terminal that lacks characters shows escapes of them; a finished report does not end in a UnicodeEncodeError."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINALS = {"latin-1": {"PYTHONIOENCODING": "latin-1"}, "C locale": C_LOCALE}
MODULES = [
    "emo_bench", "factory.prior.train", "factory.prior.measure", "factory.clip", "factory.diffusion",
    "factory.studio.actors", "factory.studio.recipe", "factory.studio.supply",
    "reports.gallery", "reports.results",
]  # fmt: skip
COMMAND = (sys.executable, "-m", "emo_bench")


def environment(**more: str) -> dict[str, str]:
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO"))}
    return {**cleared, "PYTHONPATH": str(Path(__file__).parents[2]), **more}


@pytest.mark.parametrize("terminal", TERMINALS.values(), ids=list(TERMINALS))
def test_a_report_is_finished_and_its_files_are_utf8(runs: Path, terminal: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "report", str(runs), "--no-videos"], env=environment(**terminal), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2191" in done.stdout
    page = (runs / "report.md").read_text(encoding="utf-8")
    assert "PSNR ↑" in page
    assert "<meta charset" in (runs / "report.html").read_text(encoding="utf-8").lower()


def test_a_module_prints_what_the_terminal_lacks(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom emo_bench.errors import UserError\nfrom emo_bench.system.endings import exit_code\n"
        "def fail(): raise UserError('no picture 雕像.png')\n"
        "codes = exit_code(lambda: 'done ↑ \\udce9'), exit_code(fail)\nsys.exit(codes != (0, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(PYTHONIOENCODING="ascii"), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"done \\u2191 \\udce9\n")
    assert done.stderr == b"error: no picture \\u96d5\\u50cf.png\n"


@pytest.mark.parametrize("terminal", [{"PYTHONIOENCODING": "ascii"}, C_LOCALE], ids=["ascii", "C locale"])
def test_a_progress_bar_and_a_table_on_a_real_terminal(runs: Path, terminal: dict[str, str]) -> None:
    code = (
        "import sys\nfrom emo_bench.cli import main\nfrom emo_bench.text.console import show_any_text\n"
        "from emo_bench.progress import track_progress\nshow_any_text()\n"
        "with track_progress(3, '\\u68b5\\u9ad8') as advance: advance(3)\n"
        f"main(['report', {str(runs)!r}, '--no-videos'])"
    )
    code_of_child, shown = on_a_terminal([sys.executable, "-c", code], environment(TERM="xterm", **terminal))
    assert code_of_child == 0, shown
    assert "\\u68b5\\u9ad8" in shown
    assert "\\u2191" in shown


@pytest.mark.parametrize("module", MODULES)
def test_help_is_plain_enough_for_every_terminal(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def on_a_terminal(command: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a command whose streams are a pseudo-terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's word for the end of a terminal
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    return process.wait(), b"".join(parts).decode("utf-8", "replace")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m emo_bench methods list {closed}', sys.executable],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"nearest-frame" in done.stdout) == (">&- " not in f"{closed} ".replace("2>&-", ""))
