"""What adding a video gave, for the user and for ``capture.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from emo_bench.actors.crop import Crop
from emo_bench.text.ranges import ranges
from emo_bench.tracking.person_network import ASSET as PERSON_NETWORK
from emo_bench.video.reading import VideoInfo


@dataclass(frozen=True)
class AddReport:
    """The result of adding a video.

    Attributes:
        missing: numbers of the frames without a face; they are kept in the video and excluded from splits.
        error_percent: mean reprojection error of the 478 landmarks in percent of the inter-ocular distance (between the
            outer eye corners); worst_error_percent is that of the worst frame.
        tracking_fps: processed frames per second, over all steps.
        notes: other facts that the user should know, one sentence each.
    """

    name: str
    folder: Path
    frames: int
    fps: float
    size_px: int
    crop: Crop
    focal_px: float
    missing: tuple[int, ...]
    error_percent: float
    worst_error_percent: float
    tracking_fps: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        error = (
            f"mean reprojection error of 478 landmarks: {self.error_percent:.2f} % of the inter-ocular distance "
            f"(worst frame {self.worst_error_percent:.2f} %), tracked at {self.tracking_fps:.1f} frames/s"
        )
        lines = [
            f"actor {self.name}: {self.frames} frames of {self.size_px} px at {self.fps:.5g} fps in {self.folder}",
            error,
        ]
        if self.missing:
            lines.append(f"no face in {len(self.missing)} frames, left out of all splits: {ranges(self.missing)}")
        return "\n".join((*lines, *(f"note: {note}" for note in self.notes)))


def write_info(info: VideoInfo, network_sha256: str, report: AddReport, out: Path) -> None:
    """Write ``capture.json``; ``network_sha256`` is that of the network that cut the person out."""
    facts = {
        "source": "video",
        "frames": report.frames,
        "fps": report.fps,
        "size_px": report.size_px,
        "original": info.path.name,
        "original_px": [info.width, info.height],
        "crop": {"left": report.crop.left, "top": report.crop.top, "side": report.crop.side},
        "frames_without_face": list(report.missing),
        "reprojection_error_percent": round(report.error_percent, 4),
        "worst_reprojection_error_percent": round(report.worst_error_percent, 4),
        "tracking_fps": round(report.tracking_fps, 2),
        "cut_out": {"asset": PERSON_NETWORK, "sha256": network_sha256},
        "notes": list(report.notes),
    }
    out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
