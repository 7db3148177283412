"""No connection: what ``run``, ``score``, ``report``, ``show`` and the others read lies on this machine, offline or
not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import disc_frame

ROOT = Path(__file__).resolve().parents[2]
# Names are looked up and connections opened through these, in whichever library; hooks cannot be taken off again.
GUARD = """
import sys
REFUSED = (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto",
    "urllib.Request",
)

def guard(event, arguments):
    if event in REFUSED:
        print("GUARD", event, arguments, file=sys.stderr, flush=True)
        raise OSError("the guard of the test refuses " + event)

sys.addaudithook(guard)
"""
COMMANDS = """
import contextlib, json
from emo_bench.cli import main

def call(*words):
    try:
        main(words)
    except SystemExit as ended:
        print("ENDED", words[0], ended.code, file=sys.stderr, flush=True)

for words in json.loads(sys.argv[1]):
    call(*words)
"""


def guarded(code: str, *arguments: str, home: Path, offline: bool, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EMO_BENCH_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("EMO_BENCH_OFFLINE", None)
    if offline:
        environment["EMO_BENCH_OFFLINE"] = "1"
    return subprocess.run(
        [sys.executable, "-c", GUARD + code, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("offline", [True, False])
def test_commands_open_no_connection(actor_home: Path, quick_protocol_text: str, tmp_path: Path, offline: bool) -> None:
    import json

    (tmp_path / "quick.toml").write_text(quick_protocol_text)
    for name, shift in (("ours", 0.0), ("reference", 0.05)):
        (tmp_path / name).mkdir()
        for i in range(3):
            frame = np.asarray(Image.fromarray(disc_frame(0.2 * i + shift)).resize((128, 128)))
            Image.fromarray(frame).save(tmp_path / name / f"{i}.png")
    run = "runs/quick/dot/nearest-frame/smoke-s0"
    commands = [
        ["run", "--method", "nearest-frame", "--actor", "dot", "--protocol", "quick.toml", "--profile", "smoke",
            "--device", "cpu", "--skip-edit"],
        # The default metrics, which load every network that they can find.
        ["score", "ours", "--reference", "reference"],
        ["report", "runs", "--out", "report", "--no-videos"],
        ["show", run],
        ["compare", run, "runs/quick/dot/mean-frame/smoke-s0"],
    ]  # fmt: skip
    done = guarded(COMMANDS, json.dumps(commands), home=actor_home, offline=offline, folder=tmp_path)
    assert "GUARD" not in done.stderr, done.stderr
    ended = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("ENDED")]
    assert ended == [[words[0], "0"] for words in commands], done.stderr[-3000:]


def test_the_guard_sees_what_it_must(actor_home: Path, tmp_path: Path) -> None:
    code = (
        "import socket, urllib.request\nfor act in (lambda: socket.create_connection(('127.0.0.1', 9)), lambda: "
        "urllib.request.urlopen('http://host.invalid')):\n    try: act()\n    except OSError as error: print(error)\n"
    )
    done = guarded(code, home=actor_home, offline=False, folder=tmp_path)
    assert done.stderr.count("GUARD") >= 2 and done.stdout.count("the guard of the test refuses") == 2
