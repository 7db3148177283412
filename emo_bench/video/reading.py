"""Read videos of any form: rotated, truncated, grey, with alpha, or with a variable frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.errors import UserError
from emo_bench.untrusted.regular_file import require_regular
from emo_bench.video.container import NoPictureError, open_video
from emo_bench.video.ffv1_checksums import is_intact

if TYPE_CHECKING:
    import av

# A frame rate is variable if this share of the intervals differs from the median by more than this share.
INTERVAL_TOLERANCE = 0.3
IRREGULAR_SHARE = 0.02
# Plausible frame rates of a video; other values come from damaged time stamps.
FPS_RANGE = (0.1, 1000.0)
USUAL_FPS = 25
SHOWN_FRAMES = 5


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a video, as displayed.

    Attributes:
        width, height: px, after rotation.
        fps: frames per second.
        frames: the number of frames in the file, without a truncated part.
        rotation_deg: counterclockwise rotation that the player must apply: 0, 90, 180 or 270.
        notes: facts that a user should know about the file, one sentence each.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    rotation_deg: int
    notes: tuple[str, ...]


def probe_video(path: Path) -> VideoInfo:
    """Read a file's packets and its first frame.

    Raises:
        UserError: it is not a video, holds no readable frame, or has a variable frame rate.
    """
    path = Path(path)
    require_regular(path, "a video")
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            times, cut = _packet_times(container, stream)
            expected, rate = stream.frames, stream.average_rate
        first = next(_decoded(path), None)
    except NoPictureError as error:
        raise UserError(f"{path.name} has no video stream: give a video file") from error
    # PyAV raises OSError and av.FFmpegError, and for damaged headers ValueError and others.
    except Exception as error:
        raise UserError(
            f"{path.name} is not a video that can be read: give an MP4, MOV, MKV, WebM or AVI file"
        ) from error
    if first is None or not times:
        raise UserError(f"{path.name} holds no readable frame: give another file")
    rotation_deg = round(first.rotation / 90) * 90 % 360
    width, height = first.width, first.height
    if rotation_deg in (90, 270):
        width, height = height, width
    fps, timed = _frame_rate(path, times, rate)
    notes = _notes(first, rotation_deg, len(times), expected, cut)
    if not timed:
        notes = (*notes, f"the frames have no time stamps: they were read at {float(fps):g} frames per second")
    return VideoInfo(path, width, height, fps, len(times), rotation_deg, notes)


def decode_video(info: VideoInfo, add_note: Callable[[str], None] = lambda note: None) -> Iterator[np.ndarray]:
    """Yield the readable frames ``uint8 [H, W, 3]`` RGB, upright; transparency becomes black, grey becomes RGB.

    A damaged file ends early without an error; compare the count with ``info.frames``. Frames that a decoder reports as
    partly reconstructed (H.264, MPEG-2 and MPEG-4) and frames with a wrong FFV1 checksum are counted; at the end
    ``add_note`` receives a sentence with the count.
    """
    import av

    turns = info.rotation_deg // 90
    checksums: list[bool] = []
    damaged: set[int] = set()
    try:
        for number, frame in enumerate(_decoded(info.path, checksums)):
            if frame.is_corrupt:
                damaged.add(number)
            yield np.ascontiguousarray(np.rot90(_to_rgb(frame), turns))
    except (OSError, av.FFmpegError):
        return
    finally:
        # In a file without checksums no checksum is right.
        if any(checksums):
            damaged |= {number for number, right in enumerate(checksums) if not right}
        if damaged:
            add_note(_concealed(info, sorted(damaged)))


def _concealed(info: VideoInfo, damaged: list[int]) -> str:
    shown = ", ".join(str(number) for number in damaged[:SHOWN_FRAMES])
    more = ", ..." if len(damaged) > SHOWN_FRAMES else ""
    return (
        f"{info.path.name} is damaged: the decoder filled in parts of {len(damaged)} of its {info.frames} frames "
        f"({shown}{more}); later frames may repeat them"
    )


def _decoded(path: Path, checksums: list[bool] | None = None) -> Iterator[av.VideoFrame]:
    """Decode the frames; ``checksums`` receives one result per frame of FFV1, and none for other codecs."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if checksums is None or stream.codec_context.name != "ffv1":
            yield from container.decode(stream)
            return
        for packet in container.demux(stream):
            if packet.size:
                checksums.append(is_intact(bytes(packet)))
            yield from packet.decode()


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    if not _has_alpha(frame.format.name):
        return np.asarray(frame.to_ndarray(format="rgb24"))
    rgba = frame.to_ndarray(format="rgba").astype(np.uint16)
    return ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)


def _has_alpha(pixel_format: str) -> bool:
    return pixel_format.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "pal8"))


def _packet_times(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[list[float], bool]:
    """Return the display times in seconds of all packets, sorted, and whether reading stopped at an error."""
    import av

    times: list[float] = []
    base = float(stream.time_base or 0)
    cut = False
    try:
        for packet in container.demux(stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.size and stamp is not None and not packet.is_discard:
                times.append(stamp * base)
    except (OSError, av.FFmpegError):
        cut = True
    return sorted(times), cut


def _frame_rate(path: Path, times: list[float], rate: Fraction | None) -> tuple[Fraction, bool]:
    """Return the frames per second, and whether they are derived from the frames' own times."""
    intervals = np.diff(times)
    usual = float(np.median(intervals)) if len(intervals) else 0.0
    if not (usual > 0 and FPS_RANGE[0] <= 1.0 / usual <= FPS_RANGE[1]):
        said = Fraction(rate or 0)
        fits = FPS_RANGE[0] <= said <= FPS_RANGE[1]
        return (said.limit_denominator(1001) if fits else Fraction(USUAL_FPS)), len(intervals) == 0
    irregular = np.abs(intervals - usual) > INTERVAL_TOLERANCE * max(usual, 1e-6)
    if irregular.mean() > IRREGULAR_SHARE:
        low, high = (1.0 / max(float(np.percentile(intervals, q)), 1e-3) for q in (98, 2))
        raise UserError(
            f"{path.name} has a variable frame rate ({low:.0f} to {high:.0f} fps): make it constant first, "
            f"for example: ffmpeg -i {path.name} -vf fps={min(round(high), 60)} -crf 12 constant.mp4"
        )
    measured = Fraction(1.0 / usual)
    near = Fraction(rate) if rate else measured
    if abs(near - measured) > measured / 20:
        near = measured
    return near.limit_denominator(1001), True


def _notes(first: av.VideoFrame, rotation_deg: int, frames: int, expected: int, cut: bool) -> tuple[str, ...]:
    notes = []
    if rotation_deg:
        notes.append(f"the file asks to be turned by {rotation_deg} degrees counterclockwise: done")
    if _has_alpha(first.format.name):
        notes.append("the video has transparency: it was laid on black")
    if first.format.name.startswith("gray"):
        notes.append("the video is grey: it was read as colour with equal channels")
    bits = max((component.bits for component in first.format.components), default=8)
    if bits > 8:
        notes.append(f"the video has {bits} bits a channel: it was read with 8")
    if cut or frames < expected:
        notes.append(f"the file is truncated: its {frames} readable frames are used")
    return tuple(notes)
