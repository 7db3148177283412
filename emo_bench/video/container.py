"""Open every video file that the toolkit reads, so that no property of a file can crash the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.pictures.reading import MOST_PIXELS

if TYPE_CHECKING:
    import av

# Container formats that hold their own frames. FFmpeg also reads lists of other files, which are not allowed, and
# pictures, which emo_bench.pictures reads.
CONTAINERS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "h264", "hevc", "obu", "m4v", "flv", "asf", "ogg",
    "ivf",
    "yuv4mpegpipe", "mjpeg", "mxf", "nut", "dv", "gif", "apng",
)  # fmt: skip


class NoPictureError(OSError):
    """The file has sound but no video stream."""


def open_video(path: Path) -> av.container.InputContainer:
    """Open a video file for reading; the caller closes the container.

    Only the file itself is read: no lists of other files, no addresses. Tags in other encodings than UTF-8 raise no
    error. Frames with more than ``MOST_PIXELS`` fail to decode.

    Raises:
        OSError, av.FFmpegError: it is absent, not a regular file, or not a video of a known format; it has only sound
            (:class:`NoPictureError`).
    """
    import av

    path = Path(path)
    # FFmpeg would wait for a pipe.
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    container = av.open(
        f"file:{path.absolute()}",
        metadata_errors="replace",
        options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"},
    )
    if not container.streams.video:
        container.close()
        raise NoPictureError("there is no picture in it")
    for stream in container.streams.video:
        # Streams of unknown codecs have no codec context.
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return container
