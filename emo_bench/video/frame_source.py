"""Frames from any program: a folder of pictures or a video, with the names of the frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.pictures.reading import FrameU8, is_picture_name, picture_files, read_on_black
from emo_bench.untrusted.regular_file import require_regular

SHOWN_NAMES = 5


@dataclass(frozen=True)
class FrameSource:
    """A series of frames that can be read from the start any number of times.

    Attributes:
        title: the source's name in messages.
        names: the frames' names: a picture's file name without its extension, or a video frame's number.
        open: function that yields uint8 ``[H, W, 3]`` RGB in the order of ``names``; UserError if a frame cannot be
            read.
        by_name: whether the names determine which frames of two sources belong together.
        files: the pictures, in the order of ``names``; empty if the frames are not single files.
        fps: frames per second of a video; None for pictures.
        notes: facts that a user should know about the frames, one sentence each; complete after all frames have been
            read.
    """

    title: str
    names: tuple[int | str, ...]
    open: Callable[[], Iterator[FrameU8]]
    by_name: bool
    files: tuple[Path, ...] = ()
    fps: float | None = None
    notes: list[str] = field(default_factory=list, compare=False)

    def __len__(self) -> int:
        return len(self.names)


def open_frames(path: Path) -> FrameSource:
    """Return the frames of a folder of pictures (in the natural order of their names), of one picture, or of a video.

    Transparent parts are composited on black, grey becomes RGB; pictures with more than 8 bits are refused.

    Raises:
        UserError: ``path`` is none of these.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    require_regular(path, "a folder of pictures, one picture, or a video")
    if is_picture_name(path):
        return _of_pictures(path, (path,), by_name=False)
    return _open_video(path)


def _open_video(path: Path) -> FrameSource:
    from emo_bench.video.reading import decode_video, probe_video

    # Frames of two videos are matched by position, so none is repeated or left out.
    info = probe_video(path, constant=False)
    notes = [f"{info.path.name}: {note}" for note in info.notes]

    def add_note(note: str) -> None:
        if note not in notes:
            notes.append(note)

    names = tuple(range(info.frames))
    return FrameSource(str(path), names, lambda: decode_video(info, add_note), False, fps=float(info.fps), notes=notes)


def match(source: FrameSource, frames: FrameSource) -> FrameSource:
    """Check that ``source`` (reference or masks) matches ``frames``: by name between folders, otherwise by number.

    Raises:
        UserError: one has frames that the other lacks.
    """
    if not (source.by_name and frames.by_name):
        if len(source) != len(frames):
            raise UserError(
                f"{frames.title} has {len(frames)} frames and {source.title} {len(source)}: frames of a video are "
                "matched by position, so give as many of each"
            )
        return source
    for one, other in ((frames, source), (source, frames)):
        known = set(other.names)
        lacking = [str(name) for name in one.names if name not in known]
        if lacking:
            shown = ", ".join(lacking[:SHOWN_NAMES]) + (", ..." if len(lacking) > SHOWN_NAMES else "")
            raise UserError(f"{other.title} lacks {len(lacking)} frames that {one.title} has: {shown}")
    return source


def natural_order(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a sort key that puts ``frame10`` after ``frame9``."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def _open_folder(folder: Path) -> FrameSource:
    files = sorted(picture_files(folder), key=lambda file: natural_order(file.stem))
    if not files:
        raise UserError(f"{folder} holds no pictures: give a folder of PNG or JPEG files, or a video")
    stems = tuple(file.stem for file in files)
    stem, count = Counter(stems).most_common(1)[0]
    if count > 1:
        raise UserError(f"{folder} holds several pictures named {stem}: keep one of each")
    return _of_pictures(folder, tuple(files), by_name=True)


def is_on_black(source: FrameSource) -> bool:
    """Return whether transparent parts of the pictures were put on black, of those that have been read until now."""
    return _on_black_note(source.title) in source.notes


def _on_black_note(title: str) -> str:
    return f"the transparent parts of {title} are put on black"


def _of_pictures(path: Path, files: tuple[Path, ...], *, by_name: bool) -> FrameSource:
    notes: list[str] = []
    note = _on_black_note(str(path))

    def frames() -> Iterator[FrameU8]:
        for file in files:
            frame, transparent = read_on_black(file)
            if transparent and note not in notes:
                notes.append(note)
            yield frame

    return FrameSource(str(path), tuple(file.stem for file in files), frames, by_name, files, notes=notes)


def in_batches(
    sources: Sequence[FrameSource | None], batch: int
) -> Iterator[tuple[tuple[int | str, ...], list[list[FrameU8] | None]]]:
    """Read matched sources in parallel, each decoded once.

    Args:
        sources: the first is never None; None stands for a source that was not given.

    Yields:
        The names of up to ``batch`` frames, and for each source its frames or None.

    Raises:
        UserError: a source ends before its last frame.
    """
    first = sources[0]
    assert first is not None
    streams = [None if source is None else _whole(source) for source in sources]
    try:
        for start in range(0, len(first), batch):
            names = first.names[start : start + batch]
            yield names, [None if stream is None else [next(stream) for _ in names] for stream in streams]
    finally:
        # A video reports damage at its end.
        for stream in streams:
            if stream is not None:
                stream.close()


def _whole(source: FrameSource) -> Generator[FrameU8, None, None]:
    count = 0
    for frame in source.open():
        count += 1
        yield frame
        if count == len(source):
            return
    raise UserError(f"{source.title} is damaged: only {count} of its {len(source)} frames could be read")
