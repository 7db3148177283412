"""The qualitative comparison: held-out frames as recorded, the true pictures, and the same frames of each method."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from emo_bench.errors import UserError
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.store import PREVIEW, RENDER
from emo_bench.video.lossless import read_lossless
from emo_bench.video.strips import Strip, draw_strips
from reports.figures.curves import label
from reports.figures.stills import apart, encode_jpeg, file_name, spread_panels
from reports.numbers import group_title
from reports.ranking import Group
from reports.rows import Row

log = logging.getLogger("emo_bench")

COLUMNS = 8
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Lineup:
    """The figure of one subject.

    Attributes:
        table, subject: the numbers of its table and of its subject in the table, both from 1.
        title: what it shows, in one line.
        words: the actor, and the style of an edit, as part of a file's name.
        name: its file's name.
        jpeg: its file's bytes.
    """

    table: int
    subject: int
    title: str
    words: str
    name: str
    jpeg: bytes


def line_up_all(groups: Sequence[Group], columns: int = COLUMNS) -> list[Lineup]:
    """Draw a figure of each subject that two or more methods rendered. The run folders must have the frames.

    Each has the same ``columns`` frames of every method, and above them the recorded ones.

    Trivial methods are left out, because they show other frames of the same recording, and so are the recorded frames
    as a row of edits. If a video is damaged, its
    figure is left out with a warning.
    """
    found = []
    for table, group in enumerate(groups, start=1):
        for subject, rows in enumerate(group.subjects, start=1):
            shown = [row for row in rows if not (row.trivial or row.unedited) and _has_frames(row)]
            if len(shown) < 2:
                continue
            title = f"Actor {shown[0].subject_title}: {group_title(group)}"
            words = file_name("-".join(filter(None, (shown[0].subject.actor, shown[0].style))))
            try:
                jpeg = encode_jpeg(draw_strips(*line_up(shown, columns)), JPEG_QUALITY)
            except UserError as error:
                log.warning("%s: the line-up of actor %s is left out", error, shown[0].subject_title)
                continue
            found.append(Lineup(table, subject, title, words, f"lineup-{table}-{words}.jpg", jpeg))
    return found


def line_up(rows: Sequence[Row], columns: int = COLUMNS) -> tuple[list[Strip], list[str]]:
    """The strips of one subject, and a heading for each column.

    Recorded frames come first. Those of a driven avatar are the driver's, with the true pictures below them, if there
    are any.

    The frames are spread evenly over the held-out frames, so that nobody chooses them.
    """
    first = rows[0].run
    positions, panels = spread_panels(first, int(rows[0].identity["resolution_px"]), columns)
    recorded, *true, _ = apart(panels)
    first_label = "truth" if rows[0].other_views else "driver" if rows[0].driver else "recorded"
    strips = [Strip(first_label, recorded)]
    strips += [Strip("truth", pictures) for pictures in true]
    for row in rows:
        require_unchanged(row.run.path, row.run.manifest, [RENDER])
        strips.append(Strip(label(row, rows), list(read_lossless(row.run.path / RENDER, positions))))
    return strips, [f"frame {first.scores.index[p]}" for p in positions]


def _has_frames(row: Row) -> bool:
    return all((row.run.path / name).is_file() for name in (PREVIEW, RENDER))
