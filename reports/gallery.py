"""Contact sheets of finished runs with a page that explains each: ``python -m reports.gallery RUNS --out DIR``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.pictures.reading import read_picture
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.finished import find_runs
from emo_bench.system.endings import exit_code
from reports.figures.stills import apart, encode_jpeg, file_name, spread_panels
from reports.markdown import code, escaped, image
from reports.numbers import group_title, heading, number
from reports.reproduction import command
from reports.rows import Row
from reports.tables import read_groups

FrameU8 = NDArray[np.uint8]
COLUMNS = 8
PANEL_PX = 128
DIFFERENCE_GAIN = 4
JPEG_QUALITY = 90
PAGE = "README.md"
EDITED = ("source.png", "reference.png")

log = logging.getLogger("emo_bench")


def make_gallery(folders: Sequence[Path], out: Path) -> Path:
    """Write one sheet (JPEG) for each finished run of a method that is not trivial, and a page. Returns the page.

    Raises:
        UserError: no run is finished, or the preview of one is missing.
    """
    groups, left_out = read_groups(find_runs(folders))
    for reason in left_out.damaged.values():
        log.warning("left out: %s", reason)
    out.mkdir(parents=True, exist_ok=True)
    blocks = [
        "# Gallery",
        "",
        "Real output, made by `nox -s gallery`. The frames are spread evenly over the held-out frames.",
    ]
    for group in groups:
        blocks += [
            "",
            f"## {escaped(group_title(group))}, hash {code(group.rows[0].identity['protocol']['hash'][:12])}",
        ]
        for row in group.rows:
            if row.trivial:
                continue
            name = f"{_file_name(row)}.jpg"
            write_bytes(out / name, _jpeg(sheet(row)))
            blocks += [
                "",
                f"### {escaped(row.title)}, actor {escaped(row.subject_title)}",
                "",
                image(_rows(row), name),
                "",
                _caption(row),
            ]
    write_bytes(out / PAGE, ("\n".join(blocks) + "\n").encode())
    return out / PAGE


def sheet(row: Row) -> FrameU8:
    """A contact sheet of a run, uint8 ``[H, W, 3]``.

    A reenactment has recorded frames, rendered frames, and their difference around grey. For a driven avatar the
    recorded frames are the driver's, and the difference is that to the true pictures, if there are any. An edit has the
    frame that was edited by hand or by an editor, then recorded frames; below are its edit and the edited frames.
    """
    recorded, *true, rendered = apart(spread_panels(row.run, PANEL_PX, COLUMNS)[1])
    side = len(recorded[0])
    if row.style:
        require_unchanged(row.run.path, row.run.manifest, EDITED)
        source, reference = (_picture(row.run.path / name, side) for name in EDITED)
        recorded.insert(0, source)
        rendered.insert(0, reference)
        rows = [recorded, rendered]
    else:
        compared = true[0] if true else recorded
        rows = [recorded, *true, rendered, [_difference(a, b) for a, b in zip(compared, rendered, strict=True)]]
    return np.concatenate([np.concatenate(pictures, axis=1) for pictures in rows], axis=0)


def _rows(row: Row) -> str:
    if row.style:
        return "top row: the frame that was edited, then recorded frames; bottom row: its edit, then edited frames"
    if row.truth_metrics:
        return (
            f"frames of the driver, true pictures, rendered frames, and their difference x{DIFFERENCE_GAIN} around grey"
        )
    return f"recorded frames, rendered frames, and their difference x{DIFFERENCE_GAIN} around grey"


def _caption(row: Row) -> str:
    """The means of all metrics, and the command and commit that made the run."""
    scores = [f"{heading(cell)} {number(cell.interval.mean)}" for cell in row.cells.values()]
    machine = row.stages["fit"]["machine"]
    frames = row.stages["render"]["frames"]
    return (
        f"{_rows(row).capitalize()}.\n{frames} frames: {escaped(', '.join(scores))}.\n{code(command(row))}, commit "
        f"{escaped(machine['commit'][:7])}."
    )


def _file_name(row: Row) -> str:
    identity = row.identity
    words = [
        identity["method"],
        *sorted(f"{k}-{v}" for k, v in identity["settings"].items()),
        identity["actor"]["name"],
    ]
    return file_name("-".join([*words, row.style or identity["split"]["name"]]))


def _difference(recorded: FrameU8, rendered: FrameU8) -> FrameU8:
    gap = (rendered.astype(np.int16) - recorded.astype(np.int16)) * DIFFERENCE_GAIN + 128
    return np.clip(gap, 0, 255).astype(np.uint8)


def _picture(path: Path, side: int) -> FrameU8:
    from PIL import Image

    try:
        picture = read_picture(path)
    except UserError as error:
        raise UserError(f"{error}; or give the run's command again") from error
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def _jpeg(picture: FrameU8) -> bytes:
    from PIL import Image

    return encode_jpeg(Image.fromarray(picture), JPEG_QUALITY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code; 2 means a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m reports.gallery", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders with finished runs")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    return exit_code(lambda: make_gallery(given.runs, given.out))


if __name__ == "__main__":
    sys.exit(main())
