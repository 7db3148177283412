"""Read pictures for the whole toolkit: PNG, JPEG, WebP, BMP or TIFF of at most 8 bits per channel.

A picture is rotated upright (EXIF orientation) and its palette is resolved; colour profiles are not applied. A picture
that is damaged or that 8-bit RGB cannot represent without loss is refused with one line.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.pictures.encoded_bytes import is_lossy, png_lacks_rows
from emo_bench.untrusted.regular_file import read_given, require_regular

if TYPE_CHECKING:
    from PIL.Image import Image

FrameU8 = NDArray[np.uint8]
T = TypeVar("T")

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
KINDS = "a PNG, JPEG, WebP, BMP or TIFF picture"
# First bytes of formats that are read, and of other formats that users often have.
BEGINNINGS = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
OTHERS = (
    (b"GIF8", "a GIF"), (b"%!PS", "PostScript"), (b"%PDF", "a PDF"), (b"v/1\x01", "OpenEXR"), (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"\0\0\0\x0cjP", "JPEG 2000"), (b"#?RADIANCE", "Radiance HDR"), (b"8BPS", "a Photoshop file"),
)  # fmt: skip
MOST_PIXELS = 50_000_000
MOST_BYTES = 500_000_000
ORIENTATION_TAG = 0x0112
TIFF_BITS_TAG, TIFF_SAMPLES_TAG = 258, 339
TIFF_UNSIGNED, TIFF_FLOAT = {1, 4}, 3

# Pillow's limits are settings of the whole process: one picture at a time is opened with our limits.
_PILLOW = threading.Lock()


@dataclass(frozen=True, eq=False)
class Layers:
    """The content of a picture file, upright.

    Attributes:
        colour: uint8 ``[H, W, 3]`` RGB, also in transparent pixels.
        alpha: uint8 ``[H, W]``, or None if the file has no transparency.
        index: uint8 ``[H, W]``, palette numbers, or None for a picture without a palette.
        lossy: whether the values only approximate those that were saved, as in JPEG.
    """

    colour: FrameU8
    alpha: NDArray[np.uint8] | None
    index: NDArray[np.uint8] | None
    lossy: bool = False


def read_picture(file: Path) -> FrameU8:
    """Read one picture as uint8 ``[H, W, 3]`` RGB; transparent parts are composited on black.

    Raises:
        UserError: it cannot be read, is damaged, is too large, has more than 8 bits per channel, or is several
            pictures.
    """
    return _opened(Path(file), lambda content: _on_black(_decoded(content)))


def read_on_black(file: Path) -> tuple[FrameU8, bool]:
    """Read one picture as :func:`read_picture` does; also return whether a part of it is transparent."""
    return _opened(Path(file), lambda content: _with_transparency(_decoded(content)))


def read_layers(file: Path) -> Layers:
    """Read colour, alpha and palette numbers of one picture separately, for masks and textures.

    Raises:
        UserError: the same cases as in :func:`read_picture`.
    """
    return _opened(Path(file), lambda content: _apart(_decoded(content), is_lossy(content)))


def picture_files(folder: Path) -> list[Path]:
    """Return a folder's pictures, unsorted: files with an extension of ``ENDINGS``, except names with a leading dot.

    Raises:
        UserError: something with such a name is not a regular file, or the folder cannot be read.
    """
    try:
        named = [file for file in folder.iterdir() if is_picture_name(file)]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror})") from error
    for file in named:
        require_regular(file, "a picture, or another name")
    return named


def is_picture_name(file: Path) -> bool:
    """Return whether a file is a picture by its name; ``._0.png``, which macOS writes next to ``0.png``, is not."""
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")


def _opened(file: Path, decode: Callable[[bytes], T]) -> T:
    """Return the result of ``decode`` on the file's content, under our limits."""
    content = read_given(file, KINDS, MOST_BYTES)
    try:
        with _strict_pillow():
            return decode(content)
    except _Refused as error:
        raise UserError(f"{file} {error}") from error
    # A damaged file can make a decoder raise anything.
    except Exception as error:
        raise UserError(f"{file} {_what_is_wrong(error, content[:16])}") from error


def _on_black(picture: Image) -> FrameU8:
    from PIL import Image

    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _with_transparency(picture: Image) -> tuple[FrameU8, bool]:
    transparent = picture.has_transparency_data and np.array(picture.convert("RGBA"))[..., 3].min() < 255
    return _on_black(picture), bool(transparent)


def _apart(picture: Image, lossy: bool) -> Layers:
    index = np.array(picture) if picture.mode == "P" else None
    if not picture.has_transparency_data:
        return Layers(np.array(picture.convert("RGB")), None, index, lossy)
    rgba = np.array(picture.convert("RGBA"))
    return Layers(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), index, lossy)


class _Refused(Exception):
    """The reason why a picture is refused; the message continues after the file's name."""


def _decoded(content: bytes) -> Image:
    """Return the picture, upright and with at most 8 bits per channel, in any mode."""
    from PIL import Image

    _check_webp_canvas(content)
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        _check_size(*picture.size)
        _check_depth(picture)
        _check_single(picture)
        picture.load()
        # Pillow rotates a TIFF when it loads it, and then needs nothing more from the file.
        orientation: Any = picture.getexif().get(ORIENTATION_TAG)
    if content.startswith(b"\x89PNG"):
        # Loading does not check the checksums.
        with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
            again.verify()
        if png_lacks_rows(content):
            raise _Refused("cannot be read as a picture, it is damaged (its data end before its last row)")
    if picture.mode == "LAB":
        raise _Refused("has L*a*b* colours: save it as RGB first")
    turns = Image.Transpose
    turn = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_270,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_90,
    }.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _Refused(
            f"is {width}x{height} px, more than the "
            f"{MOST_PIXELS // 10**6} million pixels that are read: make it smaller"
        )


def _check_webp_canvas(content: bytes) -> None:
    """Check the size in a WebP's extended header before Pillow allocates memory for it."""
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X":
        _check_size(*(1 + int.from_bytes(content[k : k + 3], "little") for k in (24, 27)))


def _check_depth(picture: Any) -> None:
    if picture.format == "PNG":
        bits = 16 if any("16" in str(tile[3]) for tile in picture.tile) else 8
        samples = TIFF_UNSIGNED
    elif picture.format == "TIFF":
        bits = max(picture.tag_v2.get(TIFF_BITS_TAG, (1,)))
        samples = set(picture.tag_v2.get(TIFF_SAMPLES_TAG, (1,)))
    else:
        return
    if samples == {TIFF_FLOAT}:
        raise _Refused(f"holds {bits}-bit floating-point numbers: save it with 8 bits a channel first")
    if bits > 8:
        raise _Refused(f"has {bits} bits per channel, only 8 can be read: convert it to 8 bits first")
    if not samples <= TIFF_UNSIGNED:
        raise _Refused("holds signed numbers: save it with 8 bits a channel from 0 to 255 first")


def _check_single(picture: Any) -> None:
    """Refuse animations and files of several pages; a phone's JPEG with an appended depth map is one picture."""
    if picture.format == "TIFF":
        # Counting the pages would read through all of them.
        try:
            picture.seek(1)
        except EOFError:
            return
        several = True
    else:
        several = picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1
    if several:
        raise _Refused("holds several pictures (an animation or pages): save them as single files, or as a video")


def _what_is_wrong(error: Exception, beginning: bytes) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        ours = next((name for mark, name in BEGINNINGS if beginning.startswith(mark)), None)
        if ours:
            return f"cannot be read as a picture: it is damaged, or a kind of {ours} that is not read here"
        other = next((f"it is {name}, not" for mark, name in OTHERS if beginning.startswith(mark)), "it is not")
        if beginning[4:8] == b"ftyp":
            other = "it is a HEIC, AVIF or video file, not"
        return f"cannot be read as a picture: {other} {KINDS}"
    if isinstance(error, Image.DecompressionBombError):
        return f"is larger than {MOST_PIXELS // 10**6} million pixels: make it smaller"
    if "MAX_TEXT" in str(error):
        return "has a text or a colour profile that unpacks to more than a megabyte: save it without"
    reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
    return f"cannot be read as a picture, it is damaged ({reason})"


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Silence Pillow's warnings (we print our own line), and do not fill missing parts of truncated files with grey."""
    from PIL import ImageFile

    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lenient = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient
