"""The gate catches a method that was damaged, and lets a harmless rerun through: Emo-Avatar, fitted in small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_avatar.method import EmoAvatar
from emo_avatar.skip_fusion import TextureEncoder
from emo_bench.actors.capture import Capture
from emo_bench.runs import runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import write_manifest
from emo_bench.runs.plan import RunRequest

# Enough to follow the head, in seconds.
SETTINGS = {
    "steps": "60", "batch": "2", "projection_steps": "5", "tuning_steps": "8", "max_train_frames": "48",
    "flow_widths": "8,8,8,8,8", "texture_px": "64", "gan_start_step": "1000",
    "perceptual_weight": "0", "mouth_perceptual_weight": "0",
}  # fmt: skip
THRESHOLDS = """
version = 1
baseline = "baseline.json"
[[threshold]]
method = "emo-avatar"
settings = "*"
metric = ["psnr", "ssim", "sd"]
allow_spreads = 2
allow_percent = 0.1
"""
Frames = Iterable[np.ndarray]


def unchanged(frames: Frames) -> Frames:
    return frames


def one_pixel_shift(frames: Frames) -> Frames:
    return (np.roll(frame, 1, axis=1) for frame in frames)


def gamma(frames: Frames) -> Frames:
    return (np.rint(255 * (frame / 255.0) ** 1.1).astype(np.uint8) for frame in frames)


def wrong_order(frames: Frames) -> Frames:
    return reversed(list(frames))


def without_skips(frames: Frames) -> Frames:
    """StyleGAN alone: the encoder's features are zero while the frames are made."""
    encode = TextureEncoder.forward

    def zeros(encoder: TextureEncoder, x: torch.Tensor) -> dict[int, torch.Tensor]:
        return {side: torch.zeros_like(map_) for side, map_ in encode(encoder, x).items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextureEncoder, "forward", zeros)
        return list(frames)


@pytest.fixture(scope="module")
def fitted(quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunRequest, Path]]:
    """The request and the finished run on the first shipped actor, 12 held-out frames from all of the video."""
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "quick.toml").write_text(quick_protocol_text)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    request = RunRequest(
        "emo-avatar", "1", str(folder / "quick.toml"), "random-12", "smoke", settings=SETTINGS,
        runs_dir=folder / "runs", device="cpu",
    )  # fmt: skip
    yield request, runner.run(request, trivial=False)[0]
    torch.set_num_threads(before)


def rerun(fitted: tuple[RunRequest, Path], damage: Any, runs_dir: Path) -> Path:
    """Render and score the same fit again, the frames passing through the damage."""

    class Damaged(EmoAvatar):
        def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
            yield from damage(super().render(capture, indices))

    request, source = fitted
    folder = runs_dir / source.relative_to(request.runs_dir)
    shutil.copytree(source, folder)
    manifest = json.loads((folder / "run.json").read_text())
    for stage in ("render", "score"):
        del manifest["stages"][stage]
    write_manifest(folder, manifest)
    again = RunRequest(**{**vars(request), "runs_dir": runs_dir})
    assert runner.run(again, trivial=False, cls=Damaged) == [folder]
    return folder


@pytest.mark.parametrize(
    ("damage", "caught"),
    [(unchanged, False), (one_pixel_shift, True), (gamma, True), (wrong_order, True), (without_skips, True)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damage_is_caught_and_a_rerun_is_not(
    damage: Any, caught: bool, fitted: tuple[RunRequest, Path], tmp_path: Path, call: Any
) -> None:
    file = tmp_path / "thresholds.toml"
    file.write_text(THRESHOLDS)
    assert call("check", "--thresholds", file, fitted[1], "--update")[0] == 0
    folder = rerun(fitted, damage, tmp_path / "runs")
    code, out, _ = call("check", "--thresholds", file, folder, "--json")
    assert code == (1 if caught else 0), out
    changes = {outcome["metric"]: outcome["worse_by"] for outcome in json.loads(out)["outcomes"]}
    assert changes["psnr"] > 0.2 if caught else set(changes.values()) == {0.0}
    same = load_run(folder).manifest["stages"]["fit"] == load_run(fitted[1]).manifest["stages"]["fit"]
    assert same, "the damage is in the rendering alone"
