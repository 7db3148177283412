"""Read videos of any form: turned, mirrored, truncated, grey, with alpha, or with a variable frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.errors import UserError
from emo_bench.untrusted.regular_file import require_regular
from emo_bench.video.container import NoPictureError, open_video
from emo_bench.video.display import Display, display_of, hdr_note
from emo_bench.video.ffv1_checksums import is_intact
from emo_bench.video.frame_rate import constant_rate, frame_rate, is_variable, slowest_and_fastest

if TYPE_CHECKING:
    import av

SHOWN_FRAMES = 5


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a video, as displayed.

    Attributes:
        fps: frames per second.
        frames: the number of frames that `decode_video` yields if the file is not damaged.
        display: how a player shows the frames.
        shown: at each tick of a constant rate, the file's frame that is on screen; None if the file's frames are taken
            one by one.
        notes: facts that a user should know about the file, one sentence each.
    """

    path: Path
    fps: Fraction
    frames: int
    display: Display
    shown: tuple[int, ...] | None
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Width of the picture that a player shows, in px."""
        return self.display.size_px[0]

    @property
    def height(self) -> int:
        """Height of the picture that a player shows, in px."""
        return self.display.size_px[1]

    def turned(self, quarter_turns: int) -> VideoInfo:
        """Return the video turned by so many more times 90 degrees counterclockwise, with a note."""
        quarter_turns %= 4
        done = {0: (), 1: ("90 degrees counterclockwise",), 2: ("180 degrees",), 3: ("90 degrees clockwise",)}
        lies = "the picture is upside down" if quarter_turns == 2 else "the picture lies on its side"
        notes = tuple(f"{lies} and the file does not say so: it was turned by {how}" for how in done[quarter_turns])
        display = replace(self.display, rotation_deg=(self.display.rotation_deg + 90 * quarter_turns) % 360)
        return replace(self, display=display, notes=(*self.notes, *notes))


def probe_video(path: Path, *, constant: bool = True) -> VideoInfo:
    """Read a file's packets and its first frame.

    Args:
        constant: bring a variable frame rate to the nearest usual one, by repeating frames and leaving some out. False
            takes the file's frames one by one.

    Raises:
        UserError: it is not a video, holds no readable frame, or its frames lie so far apart in time that no constant
            rate fits.
    """
    path = Path(path)
    require_regular(path, "a video")
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            times, cut = _packet_times(container, stream)
            expected, rate, aspect = stream.frames, stream.average_rate, stream.sample_aspect_ratio
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
    if is_variable(times):
        # Some packets (of VP8 and VP9) are never shown, so the times of the decoded frames decide.
        times = _shown_times(path) or times
    display = display_of(first, aspect)
    notes = [*display.notes, *_notes(first, len(times), expected, cut)]
    shown: tuple[int, ...] | None = None
    if is_variable(times):
        fps, shown, note = _at_constant_rate(path, times, rate, constant)
        notes.append(note)
    else:
        fps, timed = frame_rate(times, rate)
        if not timed:
            notes.append(f"the frames have no time stamps: they were read at {float(fps):g} frames per second")
    return VideoInfo(path, fps, len(times) if shown is None else len(shown), display, shown, tuple(notes))


def _at_constant_rate(
    path: Path, times: list[float], rate: Fraction | None, constant: bool
) -> tuple[Fraction, tuple[int, ...] | None, str]:
    """Return a constant rate, the frames that are shown at it, and a note."""
    slow, fast = slowest_and_fastest(times)
    found = f"the frame rate is variable ({slow:.0f} to {fast:.0f} frames per second)"
    if not constant:
        return frame_rate(times, rate)[0], None, f"{found}: its {len(times)} frames are taken one by one"
    resampled = constant_rate(times)
    if resampled is None:
        raise UserError(
            f"{path.name} has frames too far apart in time for a constant frame rate: make it constant first, "
            f"for example: ffmpeg -i {path.name} -vf fps={min(round(fast), 60)} -crf 12 constant.mp4"
        )
    fps, shown = resampled
    return fps, shown, f"{found}: frames were repeated or left out to have {float(fps):.5g} per second"


def decode_video(info: VideoInfo, add_note: Callable[[str], None] = lambda note: None) -> Iterator[np.ndarray]:
    """Yield the readable frames ``uint8 [H, W, 3]`` RGB as a player shows them; transparency becomes black, grey RGB.

    A damaged file ends early without an error; compare the count with ``info.frames``. Frames that a decoder reports as
    partly reconstructed (H.264, MPEG-2 and MPEG-4) and frames with a wrong FFV1 checksum are counted; at the end
    ``add_note`` receives a sentence with the count.
    """
    import av

    checksums: list[bool] = []
    damaged: set[int] = set()
    try:
        yield from _on_screen(info, _pictures(info, checksums, damaged, add_note))
    except (OSError, av.FFmpegError):
        return
    finally:
        # In a file without checksums no checksum is right.
        if any(checksums):
            damaged |= {number for number, right in enumerate(checksums) if not right}
        if damaged:
            add_note(_concealed(info, sorted(damaged)))


def _pictures(
    info: VideoInfo, checksums: list[bool], damaged: set[int], add_note: Callable[[str], None]
) -> Iterator[Callable[[], np.ndarray]]:
    """Yield for each decoded frame a function that makes its picture."""
    sizes = {info.display.stored_px}
    for number, frame in enumerate(_decoded(info.path, checksums)):
        if frame.is_corrupt:
            damaged.add(number)
        if (frame.width, frame.height) not in sizes:
            sizes.add((frame.width, frame.height))
            width, height = info.display.stored_px
            add_note(
                f"from frame {number} on, frames have {frame.width}x{frame.height} px: "
                f"they were brought to the first frame's {width}x{height}"
            )
        yield partial(_picture, info.display, frame)


def _picture(display: Display, frame: av.VideoFrame) -> np.ndarray:
    if (frame.width, frame.height) != display.square_px:
        frame = frame.reformat(*display.square_px, interpolation="BICUBIC")
    return display.show(_to_rgb(frame))


def _on_screen(info: VideoInfo, pictures: Iterator[Callable[[], np.ndarray]]) -> Iterator[np.ndarray]:
    """Make the pictures that are shown, each as often as ``info.shown`` says."""
    if info.shown is None:
        for picture in pictures:
            yield picture()
        return
    number, image = -1, None
    for wanted in info.shown:
        while number < wanted:
            following = next(pictures, None)
            if following is None:
                return
            number += 1
            image = following() if number == wanted else None
        assert image is not None
        yield image


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


def _shown_times(path: Path) -> list[float]:
    """Return the display times in seconds of the frames that a decoder gives, sorted; none if they have no times."""
    import av

    times: list[float] = []
    # The readable part of a damaged file counts, as in `decode_video`.
    with suppress(OSError, av.FFmpegError):
        for frame in _decoded(path):
            if frame.time is not None:
                times.append(float(frame.time))
    return sorted(times)


def _notes(first: av.VideoFrame, frames: int, expected: int, cut: bool) -> tuple[str, ...]:
    notes = []
    hdr = hdr_note(first)
    if hdr:
        notes.append(hdr)
    if first.interlaced_frame:
        notes.append("the video is interlaced: moving edges have combs; give a deinterlaced copy")
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
