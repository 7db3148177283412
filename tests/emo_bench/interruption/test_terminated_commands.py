"""A command that gets SIGTERM leaves no unfinished file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

COMMAND = """
import sys, time
from pathlib import Path
from emo_bench.cli import app as commands, main
from emo_bench.files import replacing

def slow(**given):
    with replacing(Path(sys.argv[1]) / "video.mp4") as part:
        part.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)

commands.app = slow
main([])
"""


def test_a_terminated_command_removes_what_it_was_writing(tmp_path: Path) -> None:
    running = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "writing\n"
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
