"""Render a finished run or edit again, and compare the frames with the stored ones.

An avatar renders from its checkpoint. A video editor edits the whole clip again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.methods.interface import Method
from emo_bench.progress import track_progress
from emo_bench.runs import stages
from emo_bench.runs.checksums import PREVIEW, SCORES
from emo_bench.runs.editing import open_edit, open_method, open_video_editor
from emo_bench.runs.finished import EDITS
from emo_bench.runs.pairs import driver_in, load_same, rendered_capture
from emo_bench.runs.rescoring import protocol_of
from emo_bench.runs.store import RENDER
from emo_bench.untrusted.plain_json import plain
from emo_bench.video.lossless import FrameDigest, read_lossless
from protocols.splitting import parse_frames


@dataclass(frozen=True)
class Rerendered:
    """Frames rendered again, beside the stored ones.

    Attributes:
        frames_sha256: digest of the frames that were rendered now.
        frames: their number.
        different: how many of them differ from the stored ones in any pixel.
        levels: the greatest difference of a channel, 0 to 255.
    """

    frames_sha256: str
    frames: int
    different: int
    levels: int


def rerender(folder: Path, manifest: Mapping[str, Any], device: str, *, trust: bool = False) -> Rerendered:
    """Render the held-out frames again, from a copy of the run's folder, so that the folder is not changed.

    Args:
        folder, manifest: a run or an edit whose stages are finished.
        device: ``cpu`` or ``cuda:0``.
        trust: whether the file that the run names as its method's may be executed.

    Raises:
        UserError: something that the rendering needs is not here or has changed.
    """
    test = parse_frames(manifest["split"]["test"])
    edits_clip = manifest.get("kind") == VIDEO_EDITOR
    capture = load_same(manifest["identity"]["actor"])
    if edits_clip:
        capture = capture.restricted(test)
    else:
        capture = rendered_capture(protocol_of(manifest), capture, driver_in(manifest))
    with tempfile.TemporaryDirectory(prefix="emo-bench-verify-") as temporary:
        copy = Path(temporary) / "run"
        if edits_clip:
            copy.mkdir()
            method: Method = open_video_editor(folder, copy, device, trust=trust)
        else:
            method = _opened(folder, manifest, copy, device, trust)
        _require_same(method, manifest)
        method.load()
        stages.seed_all(int(manifest["identity"]["seed"]))
        digest, count, different, levels = FrameDigest(), 0, 0, 0
        with track_progress(len(test), f"{folder}: render again") as advance:
            for ours, stored in zip(method.render(capture, list(test)), _stored(folder), strict=False):
                digest.add(ours)
                gap = int(np.abs(ours.astype(np.int16) - stored).max()) if ours.shape == stored.shape else 255
                count, different, levels = count + 1, different + (gap > 0), max(levels, gap)
                advance()
    return Rerendered(digest.hexdigest(), count, different, levels)


def _opened(folder: Path, manifest: Mapping[str, Any], copy: Path, device: str, trust: bool) -> Method:
    """Return the method of a run, or the edit of a run's avatar, over a copy of the run's folder."""
    edited = "style" in manifest["identity"]
    run = folder.parent.parent if edited else folder
    if edited and folder.parent.name != EDITS:
        raise UserError("this edit is not inside the run that it edits")
    _copy(run, copy, folder.name if edited else None)
    method: Method = open_method(copy, device, trust=trust)[0]
    return open_edit(method, folder.name) if edited else method


def _stored(folder: Path) -> Iterator[np.ndarray]:
    return read_lossless(folder / RENDER)


def _copy(run: Path, copy: Path, edit: str | None) -> None:
    """Copy a run's folder without its videos and scores, and of its edits only ``edit``."""

    def ignored(place: str, names: list[str]) -> set[str]:
        left = {name for name in names if name in (RENDER, SCORES, PREVIEW, ".lock") or name.endswith(".part")}
        # A received folder may hold a pipe, and who copies it would wait.
        left |= {name for name in names if not (Path(place, name).is_file() or Path(place, name).is_dir())}
        if Path(place) == run and edit is None:
            left.add(EDITS)
        if Path(place) == run / EDITS:
            left |= {name for name in names if name != edit}
        return left

    shutil.copytree(run, copy, symlinks=True, ignore=ignored)


def _require_same(method: Method, manifest: Mapping[str, Any]) -> None:
    """Check that the method is configured as it was, with the same assets and render command."""
    described: dict[str, Any] = plain(method.describe())
    for key in ("config", "assets"):
        before, now = dict(manifest["identity"].get(key, {})), described.get(key, {})
        changed = sorted(name for name in now if before.get(name) != now[name])
        if changed:
            raise UserError(f"the method's {key} differ here: {', '.join(changed)}")
    if plain(method.render_inputs()) != manifest["stages"]["render"].get("inputs"):
        raise UserError("the method's render command differs here")
