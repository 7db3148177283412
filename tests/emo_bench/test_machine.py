"""Facts about the machine and the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_bench.runs import machine


def test_asking_for_the_commit_takes_no_lock_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another git command in the checkout would fail on it."""
    git = tmp_path / "git"
    git.write_text('#!/bin/sh\necho "locks: $GIT_OPTIONAL_LOCKS"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "checkout" / "emo_bench" / "runs" / "machine.py"))
    assert machine.source_commit() == "locks: 0"
