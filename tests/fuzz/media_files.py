"""Pictures and videos: through the door of ``emo-bench score``, and lossless frames through that of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.byte_changes import changed
from tests.fuzz.container_changes import changed_png
from tests.fuzz.reader import Place, Reader

SIDE, FRAMES = 24, 6


def _frame(shift: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([rows * 9, columns * 9, (rows + columns + 7 * shift) * 5 % 256], axis=-1).astype(np.uint8)


def pictures(folder: Path) -> Sequence[bytes]:
    """One of each format and depth that people have, and of some that must be refused."""
    from PIL import Image

    colour = Image.fromarray(_frame())
    deep = Image.fromarray(_frame()[..., 0].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    wanted: list[tuple[Any, str, dict[str, Any]]] = [
        (colour, "PNG", {"exif": turned}), (colour.convert("L"), "PNG", {}),
        (colour.convert("P"), "PNG", {"transparency": 3}),
        (colour.convert("RGBA"), "PNG", {}), (colour.convert("1"), "PNG", {}), (deep, "PNG", {}),
        (colour, "JPEG", {"exif": turned}), (colour.convert("CMYK"), "JPEG", {}), (colour.convert("RGBA"), "WEBP", {}),
        (colour, "BMP", {}), (colour.convert("P"), "BMP", {}), (colour, "TIFF", {"compression": "tiff_lzw"}),
        (deep, "TIFF", {}),
        (colour, "EPS", {}), (colour, "GIF", {}), (colour, "TGA", {}), (colour, "PPM", {}),
    ]  # fmt: skip
    found = []
    for picture, kind, options in wanted:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        found.append(file.getvalue())
    return found


def open_picture(prepared: Path, scratch: Path) -> Place:
    """A folder of one picture, as frames and as the picture of an edit."""
    from emo_bench.video.frame_source import open_frames

    file = scratch / "frames" / "00001.png"
    file.parent.mkdir()

    def frames() -> None:
        for frame in open_frames(file.parent).open():
            assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3, frame.shape

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return (frames,)

    return place


def videos(folder: Path) -> Sequence[bytes]:
    """A few frames in each container, and what a run keeps."""
    from emo_bench.video.lossless import write_lossless

    frames = [_frame(i) for i in range(FRAMES)]
    found = [_video(folder, frames, *how) for how in (
        ("mp4", "libx264", "yuv420p"), ("webm", "libvpx-vp9", "yuv420p"), ("avi", "mjpeg", "yuvj420p"),
        ("matroska", "ffv1", "bgr0"), ("mov", "mpeg4", "yuv420p"),
    )]  # fmt: skip
    write_lossless(folder / "render.mkv", frames)
    return [*found, (folder / "render.mkv").read_bytes()]


def _video(folder: Path, frames: list[np.ndarray], kind: str, codec: str, pixels: str) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=kind, options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def open_video(prepared: Path, scratch: Path) -> Place:
    """As frames to score, and as the lossless frames of a run, in order and one by one."""
    from emo_bench.video.frame_source import open_frames
    from emo_bench.video.lossless import read_lossless

    file = scratch / "video.mkv"

    def frames() -> None:
        for frame in open_frames(file).open():
            assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3, frame.shape

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return frames, lambda: list(read_lossless(file)), lambda: list(read_lossless(file, [4, 0]))

    return place


READERS = (
    Reader("picture", ("PIL.Image", "emo_bench.video.frame_source"), pictures, changed_png, open_picture),
    Reader("video", ("av", "emo_bench.video.frame_source", "emo_bench.video.reading", "emo_bench.video.lossless"),
        videos, changed, open_video),
)  # fmt: skip
