"""Every video file that the toolkit reads: a container is opened here, and says nothing that could end the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.pictures.reading import MOST_PIXELS

if TYPE_CHECKING:
    import av

# Files that hold their frames themselves; FFmpeg also knows lists of other files, and pictures, which have their own
# door.
CONTAINERS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "h264", "hevc", "obu", "m4v", "flv", "asf", "ogg",
    "ivf",
    "yuv4mpegpipe", "mjpeg", "mxf", "nut", "dv", "gif", "apng",
)  # fmt: skip


class NoPictureError(OSError):
    """A file of sound alone."""


def open_video(path: Path) -> av.container.InputContainer:
    """Open a video file for reading; the caller closes the container.

    Only the file itself is read: no lists of other files, no addresses. Tags in other encodings than UTF-8 are taken as
    they come. Frames of more than ``MOST_PIXELS`` fail to decode.

    Raises:
        OSError, av.FFmpegError: it is absent, no regular file, or no video of a known kind; it has sound alone
            (:class:`NoPictureError`).
    """
    import av

    path = Path(path)
    # A pipe would make FFmpeg wait.
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
        # Streams of unknown codecs have no context.
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return container
