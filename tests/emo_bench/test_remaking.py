"""What lies damaged in a finished run's folder is made again by the same command, which says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emo_bench.errors import UserError
from emo_bench.runs import runner
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.plan import RunRequest

# Videos hold random numbers of their own.
SAME = ("checkpoint.safetensors", "frames.parquet")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 64
    file.write_bytes(content)


@pytest.fixture
def make(actor: str, protocol_file: str, tmp_path: Path) -> Callable[..., Path]:
    def run(method: str) -> Path:
        request = RunRequest(method, actor, protocol_file, profile="smoke", runs_dir=tmp_path / "runs", device="cpu")
        return runner.run(request, trivial=False)[0]

    return run


def outcome(folder: Path) -> dict[str, Any]:
    stages = read_manifest(folder)["stages"]
    return {"frames": stages["render"]["frames_sha256"], **{name: (folder / name).read_bytes() for name in SAME}}


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize(
    ("method", "name", "stages"),
    [
        ("mean-frame", "checkpoint.safetensors", ("fit", "render", "score")),
        ("nearest-frame", "train_frames.mkv", ("fit", "render", "score")),
        ("mean-frame", "render.mkv", ("render", "score")),
        ("mean-frame", "frames.parquet", ("score",)),
        ("mean-frame", "preview.mp4", ("score",)),
    ],
)
def test_what_is_damaged_is_made_again(
    damage: Callable[[Path], None],
    method: str,
    name: str,
    stages: tuple[str, ...],
    make: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = make(method)
    before, times = (outcome(folder), {key: v["finished_at"] for key, v in read_manifest(folder)["stages"].items()})
    damage(folder / name)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        make(method)
    assert (
        f"{stages[0]}: {name} {'is missing' if damage is Path.unlink else 'has changed since it was written'}"
        in caplog.text
    )
    for stage in times:
        assert (f"{stage}: start" in caplog.text) == (stage in stages)
    assert outcome(folder) == before
    caplog.clear()
    with caplog.at_level(logging.INFO):
        make(method)
    assert caplog.text.count("already done, skipped") == 3, "it is whole now"


def test_a_damaged_manifest_is_one_line_that_says_what_to_do(make: Callable[[str], Path]) -> None:
    folder = make("mean-frame")
    cut(folder / "run.json")
    with pytest.raises(UserError, match=r"run\.json cannot be read .*: remove the folder and run again"):
        make("mean-frame")
