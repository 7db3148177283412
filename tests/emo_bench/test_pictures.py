"""The one reader of pictures: what comes upright and whole as 8-bit RGB, and what is refused in one line."""

from __future__ import annotations

import ast
import io
import os
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile, PngImagePlugin

from emo_bench.errors import UserError
from emo_bench.methods.reference_editors import FileEditor, FileSettings
from emo_bench.methods.restyling_editors import StyleTransferEditor, StyleTransferSettings
from emo_bench.pictures.reading import MOST_PIXELS, picture_files, read_layers, read_picture

RNG = np.random.default_rng(11)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ROOT = Path(__file__).resolve().parents[2]


def saved(path: Path, picture: np.ndarray | Image.Image, **how: object) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **how)  # type: ignore[arg-type]
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    """An 8-bit RGB PNG file with chunks between its header and its black pixels."""
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (25 * 8))
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refused(path: Path, pattern: str) -> None:
    """Each reader refuses the file in one line that names it."""
    for read in (read_picture, read_layers):
        with pytest.raises(UserError, match=pattern) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@given(
    picture=arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))),
    kind=st.sampled_from(("PNG", "BMP", "TIFF")),
)
def test_plain_rgb_comes_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray, kind: str) -> None:
    path = saved(tmp_path_factory.getbasetemp() / "plain.png", picture, format=kind)
    np.testing.assert_array_equal(read_picture(path), picture)


def test_jpeg_is_what_its_decoder_gives(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", RGB, quality=80)
    np.testing.assert_array_equal(read_picture(path), np.asarray(Image.open(path)))
    cmyk = saved(tmp_path / "cmyk.jpg", Image.fromarray(RGB).convert("CMYK"), quality=95)
    assert np.abs(read_picture(cmyk).astype(int).mean() - RGB.mean()) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_orientation_is_honoured(tmp_path: Path, orientation: int, ending: str) -> None:
    """A picture stored in any of the eight ways comes out the same."""
    back: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(back[orientation](RGB)))
    path = saved(tmp_path / f"a.{ending}", stored, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(read_picture(path), RGB)


def test_alpha_lies_on_black_and_hides_what_is_under_it(tmp_path: Path) -> None:
    alpha = np.repeat(np.array([0, 255, 128], np.uint8), 10)[None].repeat(20, axis=0)
    rgba = saved(tmp_path / "rgba.png", np.dstack((RGB, alpha)))
    found = read_picture(rgba)
    assert not found[:, :10].any()
    np.testing.assert_array_equal(found[:, 10:20], RGB[:, 10:20])
    assert np.abs(found[:, 20:].astype(int) - RGB[:, 20:] / 255.0 * 128).max() <= 1
    layers = read_layers(rgba)
    np.testing.assert_array_equal(layers.colour, RGB)
    np.testing.assert_array_equal(layers.alpha, alpha)
    grey = saved(tmp_path / "la.png", Image.fromarray(np.dstack((RGB[..., 0], alpha)), "LA"))
    assert not read_picture(grey)[:, :10].any()
    keyed = saved(tmp_path / "key.png", RGB, transparency=tuple(int(level) for level in RGB[3, 3]))
    assert not read_picture(keyed)[3, 3].any() and (read_picture(keyed)[3, 4] == RGB[3, 4]).all()


def test_palettes_grey_and_one_bit_become_rgb(tmp_path: Path) -> None:
    indexed = Image.fromarray(RGB).quantize(16)
    colours = np.asarray(indexed.convert("RGB"))
    for ending in ("png", "bmp", "tif"):
        np.testing.assert_array_equal(read_picture(saved(tmp_path / f"p.{ending}", indexed)), colours)
    clear = read_picture(saved(tmp_path / "clear.png", indexed, transparency=3))
    hidden = np.asarray(indexed) == 3
    assert hidden.any() and not clear[hidden].any()
    np.testing.assert_array_equal(clear[~hidden], colours[~hidden])
    np.testing.assert_array_equal(read_layers(tmp_path / "p.png").index, np.asarray(indexed))
    grey = read_picture(saved(tmp_path / "grey.png", RGB[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(RGB[..., :1], 3, axis=2))
    one = Image.fromarray(RGB[..., 0] > 128)
    assert one.mode == "1"
    assert set(np.unique(read_picture(saved(tmp_path / "one.tif", one, compression="group4")))) == {0, 255}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_deep_pictures_are_refused_everywhere(tmp_path: Path, channels: int, ending: str) -> None:
    """Pillow cuts 16-bit colour to 8 bits in silence, and makes 16-bit grey white."""
    path = tmp_path / f"deep.{ending}"
    assert cv2.imwrite(str(path), RNG.integers(0, 65536, (32, 32, channels), dtype=np.uint16))
    refused(path, "16 bits per channel")
    assert "16 bits" in str(FileEditor.missing(FileSettings(image=path)))
    assert "16 bits" in str(StyleTransferEditor.missing(StyleTransferSettings(image=path)))


def test_floating_point_and_signed_pictures_are_refused(tmp_path: Path) -> None:
    refused(saved(tmp_path / "f.tif", np.ones((8, 8), np.float32)), "floating-point")
    refused(saved(tmp_path / "i.tif", np.ones((8, 8), np.int32)), "32 bits per channel")


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    more = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1])]}
    for name in ("a.webp", "a.png", "a.tif"):
        refused(saved(tmp_path / name, RGB, **more), "several pictures")
    # A phone keeps a second picture behind the first.
    phone = saved(tmp_path / "phone.jpg", RGB, format="MPO", **more)
    assert read_picture(phone).shape == RGB.shape


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "not a PNG"),
        (b"not a picture", "not a PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(ran) (/dev/null) deletefile\n", "PostScript"),
        (b"GIF89a" + b"\0" * 40, "GIF"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
        (png_with(size=(100_000, 100_000)), "50 million pixels"),
        (png_with(size=(8_000, 8_000)), "8000x8000 px"),
        (png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 2_000_000))), "unpacks to more than a megabyte"),
        (png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(b"a" * 2_000_000))), "unpacks to more than a megabyte"),
        (png_with()[:60], "damaged"),
        (png_with()[:-30] + b"xx" + png_with()[-28:], "damaged"),
    ],
)
def test_bombs_other_kinds_and_damage_are_one_line(tmp_path: Path, content: bytes, pattern: str) -> None:
    path = tmp_path / "1.png"
    path.write_bytes(content)
    refused(path, pattern)


def test_postscript_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where Ghostscript is installed: the plug-in that calls it is not asked."""
    from PIL import EpsImagePlugin

    asked = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **more: asked.append(arguments))
    path = saved(tmp_path / "1.eps", RGB, format="EPS")
    refused(path.rename(tmp_path / "1.png"), "PostScript")
    assert not asked


def test_a_webp_canvas_is_measured_before_it_is_made(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "WEBP", lossless=True, exif=Image.Exif().tobytes() or b"Exif\0\0")
    content = bytearray(file.getvalue())
    assert content[12:16] == b"VP8X"
    content[24:30] = (16382).to_bytes(3, "little") * 2
    path = tmp_path / "a.webp"
    path.write_bytes(content)
    refused(path, "16383x16383 px")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif"])
def test_a_truncated_file_is_refused_whatever_other_code_allows(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = saved(tmp_path / f"a.{ending}", RGB)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "damaged")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (2, 3), (8, 0), (8, 2), (8, 4), (8, 6)])
def test_a_png_whose_data_lack_rows_is_refused(tmp_path: Path, bits: int, colour: int, interlaced: bool) -> None:
    """The data end properly and all checksums are right: Pillow would leave the rest black."""
    side, channels = 9, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, interlaced)
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows: list[bytes] = []
    for left, top, across, down in steps if interlaced else ((0, 0, 1, 1),):
        columns = len(range(left, side, across))
        rows += [bytes(1 + (columns * bits * channels + 7) // 8)] * (len(range(top, side, down)) if columns else 0)
    palette = chunk(b"PLTE", bytes(12)) if colour == 3 else b""
    for lacking in (0, 1, 4):
        data = chunk(b"IDAT", zlib.compress(b"".join(rows[: len(rows) - lacking])))
        path = tmp_path / f"{lacking}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + data + chunk(b"IEND", b""))
        if lacking:
            refused(path, "damaged")
        else:
            assert read_picture(path).shape == (side, side, 3)


def test_a_changed_pixel_of_a_png_is_found(tmp_path: Path) -> None:
    """Stored without compression, a changed byte decodes well; the checksum says that it is damaged."""
    path = saved(tmp_path / "a.png", RGB, compress_level=0)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 400] ^= 0x10
    path.write_bytes(content)
    refused(path, "damaged")


def test_a_large_text_of_honest_size_is_read(tmp_path: Path) -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("parameters", "a pencil drawing " * 1000, zip=True)
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "a.png", RGB, pnginfo=note)), RGB)


@given(content=st.binary(max_size=64), kind=st.sampled_from(("PNG", "JPEG", "WEBP", "BMP", "TIFF")), data=st.data())
def test_changed_files_are_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str, data: st.DataObject
) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind)
    whole = bytearray(file.getvalue())
    place = data.draw(st.integers(0, len(whole)))
    whole[place : place + len(content)] = content
    path = tmp_path_factory.getbasetemp() / "changed.png"
    path.write_bytes(whole)
    for read in (read_picture, read_layers):
        try:
            read(path)
        except UserError as error:
            said = str(error)
            assert "\n" not in said and len(said) < 500


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe would wait for a writer for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.png"))
        found: dict[str, str] = {}

        def read(name: str) -> None:
            try:
                read_picture(tmp_path / name)
            except UserError as error:
                found[name] = str(error)

        names = ("pipe.png", "folder.png", "link.png", "s.png", "absent.png")
        threads = [threading.Thread(target=read, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
    for name, what in zip(names, ("named pipe", "folder", "links to nothing", "socket", "no such file"), strict=True):
        assert what in found[name], found
    with pytest.raises(UserError, match="picture"):
        picture_files(tmp_path)


def test_dot_files_and_other_files_of_a_folder_are_left_out(tmp_path: Path) -> None:
    saved(tmp_path / "0.png", RGB)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"\0\5\26\7")
    assert picture_files(tmp_path) == [tmp_path / "0.png"]


def test_a_link_to_a_picture_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "0.png", RGB)
    (tmp_path / "1.png").symlink_to(tmp_path / "0.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "1.png"), RGB)


def test_pictures_and_videos_have_one_door_each() -> None:
    """No other module decodes a picture file or opens a container for reading."""
    doors = {"emo_bench/pictures/reading.py", "emo_bench/video/container.py"}
    # Writes a container in memory and reads it back.
    allowed = {"emo_bench/doctor/checks.py"}
    banned = re.compile(r"(^|\.)(Image\.open|imread|imdecode|read_image|decode_image|load_image)$")
    for package in ("emo_bench", "emo_avatar", "baselines", "reports", "protocols"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in doors | allowed:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert not banned.search(called), f"{name}: {called} passes by emo_bench.pictures.reading"
                    if called == "av.open":
                        writes = any(isinstance(a, ast.Constant) and a.value == "w" for a in node.args)
                        assert writes, f"{name}: a container is read without emo_bench.video.container"


def test_the_limit_holds_for_every_size_in_a_header(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    path = tmp_path / "1.png"
    path.write_bytes(png_with(size=(side, side)))
    refused(path, "million pixels")
