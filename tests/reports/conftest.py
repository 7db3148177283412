"""Finished runs to report on, and a browser to look with."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_bench import runner
from emo_bench.runner import RunRequest


@pytest.fixture(scope="session")
def runs_dir(actor_home: Path, quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mean-frame and nearest-frame, at two resolutions; copy it before changing it."""
    folder = tmp_path_factory.mktemp("reported")
    protocol = folder / "quick.toml"
    protocol.write_text(quick_protocol_text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMO_BENCH_HOME", str(actor_home))
        for settings in ({}, {"resolution_px": "32"}):
            request = RunRequest(
                "mean-frame", "dot", str(protocol), profile="smoke", settings=settings,
                runs_dir=folder / "runs", device="cpu",
            )  # fmt: skip
            runner.run(request)
    return folder / "runs"
