"""Show what L_patch does to edits: ``python benchmarks/patch_loss.py RUNS --out DIR`` after a sweep.

RUNS is the folder of ``emo-bench sweep patch-loss``. The command prints a Markdown table with one row for each variant
of the edit: its means over the subjects (an actor and a style), and on how many of them it is better than the default.
DIR gets ``patch-loss.png``, in which each subject is a dot and the mean a bar, and for each subject a line-up of all
variants, ``patch-loss-ACTOR-STYLE.jpg``.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import replacing, write_bytes
from emo_bench.runs.finished import find_runs, open_runs
from emo_bench.system.endings import exit_code
from emo_bench.video.strips import draw_strips
from reports.figures.lineup import line_up
from reports.figures.stills import encode_jpeg, file_name
from reports.markdown import pipe_table
from reports.numbers import metric_label
from reports.rows import Row

METRICS = ("clip_d", "clip_d-judge", "clip_dv", "flmd", "identity_similarity", "flicker")
DEFAULT = "default"
FRAMES = 6
LABEL_PX, PANEL_PX, LINE_PX, TOP_PX, ROOM_PX = 370, 190, 24, 44, 14
INK, GRID, DOT, BAR = "#141414", "#dddddd", "#8fb4d0", "#c8553d"

Subject = tuple[str, str]
Table = Mapping[str, Mapping[Subject, Row]]


def main() -> int:
    """Run the command line; the exit code is 2 for a user error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    given = parser.parse_args()
    return exit_code(lambda: show(given.runs, given.out))


def show(runs: Path, out: Path) -> None:
    """Print the table and write the pictures.

    Raises:
        UserError: there is no finished edit of Emo-Avatar, or none with the default settings.
    """
    table = variants(runs)
    measured = [metric for metric in METRICS if any(known(table[DEFAULT], metric).values())]
    for line in pipe_table(*summary(table, measured)):
        print(line)
    out.mkdir(parents=True, exist_ok=True)
    draw(out / "patch-loss.png", table, measured)
    for subject, default in table[DEFAULT].items():
        rows = [default, *(rows[subject] for name, rows in table.items() if name != DEFAULT and subject in rows)]
        picture = draw_strips(*line_up(rows, FRAMES))
        write_bytes(out / f"patch-loss-{file_name('-'.join(subject))}.jpg", encode_jpeg(picture, 92))


def variants(runs: Path) -> Table:
    """Return the finished edits of Emo-Avatar below a folder, by their settings and subject; the default goes first."""
    found: dict[str, dict[Subject, Row]] = defaultdict(dict)
    for run in open_runs(find_runs([runs])).finished:
        row = Row(run)
        if row.style and row.identity["method"] == "emo-avatar" and row.seed == 0:
            changed = {key.removeprefix("edit."): value for key, value in row.identity["settings"].items()}
            name = ", ".join(f"{key} {value}" for key, value in sorted(changed.items())) or DEFAULT
            found[name][row.subject.actor, row.style] = row
    if DEFAULT not in found:
        raise UserError(f"{runs} holds no finished edit with the default settings: run emo-bench sweep patch-loss")
    return {name: found[name] for name in sorted(found, key=lambda name: (name != DEFAULT, name))}


def known(rows: Mapping[Subject, Row], metric: str) -> dict[Subject, float]:
    """Return a metric's score of each subject that has one."""
    means = {subject: row.cells[metric].interval.mean for subject, row in rows.items() if metric in row.cells}
    return {subject: value for subject, value in means.items() if value == value}


def summary(table: Table, metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of the table; ``4/6`` is better than the default on four of six subjects."""
    lines = []
    for name, rows in table.items():
        cells = [name]
        for metric in metrics:
            ours, default = known(rows, metric), known(table[DEFAULT], metric)
            both = sorted(ours.keys() & default.keys())
            if not both:
                cells.append("n/a")
                continue
            sign = 1 if next(iter(rows.values())).cells[metric].record["direction"] == "higher" else -1
            better = sum(sign * (ours[subject] - default[subject]) > 0 for subject in both)
            compared = "" if name == DEFAULT else f" ({better}/{len(both)})"
            cells.append(f"{mean(ours[subject] for subject in both):.4g}{compared}")
        lines.append(cells)
    return ["variant", *map(metric_label, metrics)], lines


def draw(path: Path, table: Table, metrics: Sequence[str]) -> None:
    """Draw a panel for each metric, with a line for each variant: a dot for each subject, and a bar at their mean."""
    from PIL import Image, ImageDraw, ImageFont

    size = (LABEL_PX + PANEL_PX * len(metrics), TOP_PX + LINE_PX * len(table) + ROOM_PX)
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=12)
    for line, name in enumerate(table):
        pen.text((8, TOP_PX + LINE_PX * (line + 0.5)), name, INK, font, anchor="lm")
    for number, metric in enumerate(metrics):
        left = LABEL_PX + PANEL_PX * number + ROOM_PX
        _draw_panel(pen, font, left, metric, {name: known(rows, metric) for name, rows in table.items()})
    with replacing(path) as temporary:
        image.save(temporary, "png")


def _draw_panel(pen: Any, font: Any, left: int, metric: str, scores: Mapping[str, Mapping[Subject, float]]) -> None:
    values = [value for own in scores.values() for value in own.values()]
    least, most, wide = min(values), max(values), PANEL_PX - 2 * ROOM_PX

    def place(value: float) -> float:
        return left + wide * (value - least) / ((most - least) or 1.0)

    bottom = TOP_PX + LINE_PX * len(scores)
    pen.text((left, 6), metric_label(metric), INK, font)
    pen.text((left, 22), f"{least:.3g}", INK, font)
    pen.text((left + wide, 22), f"{most:.3g}", INK, font, anchor="ra")
    usual = scores[DEFAULT].values()
    pen.line((place(mean(usual)), TOP_PX, place(mean(usual)), bottom), fill=GRID, width=2)
    for line, own in enumerate(scores.values()):
        y = TOP_PX + LINE_PX * (line + 0.5)
        for value in own.values():
            pen.ellipse((place(value) - 3, y - 3, place(value) + 3, y + 3), fill=DOT)
        if own:
            x = place(mean(own.values()))
            pen.rectangle((x - 1, y - 8, x + 1, y + 8), fill=BAR)


if __name__ == "__main__":
    sys.exit(main())
