"""A fit in a process of its own: its output, its time limit, its end with all its children."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from emo_bench.methods.contract.fit import FitProcess

METHODS = """
import os, sys, time
import numpy as np
from emo_bench.methods.interface import Method, MethodInfo

print("fit", flush=True)

class Quiet(Method):
    info = MethodInfo("own", "Own", "", "MIT", frozenset({"render"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...
    def render(self, capture, indices):
        yield from np.zeros((len(indices), 64, 64, 3), np.uint8)

class Chatty(Quiet):
    def fit(self, capture, train):
        print("x" * 300_000, flush=True)

class Long(Quiet):
    def fit(self, capture, train):
        time.sleep(600)

class Dies(Quiet):
    def fit(self, capture, train):
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)

class Signalled(Quiet):
    def fit(self, capture, train):
        os.kill(os.getpid(), 35)
"""
COMMAND = """
name = "sleeps"
title = "Sleeps"
licence = "MIT"
fidelity = "a test"
resolution_px = 64
layout = "plain"
[fit]
command = "echo $$ > {here}/pid; mv {here}/pid {here}/pid.txt; sleep 600; true"
timeout_s = 700
[render]
command = "true"
timeout_s = 30
frames = "{out}"
"""


def start(actor: str, folder: Path, name: str) -> FitProcess:
    file = folder / "methods.py"
    file.write_text(METHODS)
    return FitProcess(f"{file}:{name}", actor, "smoke", folder / "fit")


def wait_until(true: object) -> None:
    end = time.monotonic() + 120
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_much_output_stops_nothing(actor: str, tmp_path: Path) -> None:
    outcome = start(actor, tmp_path, "Chatty").outcome(120)
    assert outcome.digest and not outcome.error


def test_what_a_method_prints_is_no_sign_that_its_fit_began(actor: str, tmp_path: Path) -> None:
    assert start(actor, tmp_path, "Long").kill_at_work(0.0)


def test_a_process_that_takes_too_long_is_ended(actor: str, tmp_path: Path) -> None:
    assert start(actor, tmp_path, "Long").outcome(0.2).error == "it took longer than 0 s and was ended"


def test_the_last_words_of_a_process_that_died_are_shown(actor: str, tmp_path: Path) -> None:
    error = start(actor, tmp_path, "Dies").outcome(120).error
    assert error == "its process ended with exit code 3: out of memory"


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="has no real-time signals")
def test_a_signal_without_a_name_is_one_line(actor: str, tmp_path: Path) -> None:
    assert start(actor, tmp_path, "Signalled").outcome(120).error.startswith("its process was killed by signal 35: ")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_a_command_ends_with_the_fit_that_is_killed(actor: str, tmp_path: Path) -> None:
    file = tmp_path / "method.toml"
    file.write_text(COMMAND)
    process = FitProcess(str(file), actor, "smoke", tmp_path / "fit")
    pid = tmp_path / "pid.txt"
    wait_until(pid.exists)
    assert alive(int(pid.read_text()))
    assert process.kill_at_work(0.0)
    wait_until(lambda: not alive(int(pid.read_text())))
