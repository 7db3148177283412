"""Write report.html: one file with tables, charts and clips that opens from disk and loads nothing else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.progress import track_progress
from emo_bench.runs.store import PREVIEW
from emo_bench.text.plain_text import printable
from reports.figures.clips import DEFAULT_PANEL_PX, encode_webm, read_panels
from reports.figures.curves import MOTIONS, frame_chart, label, loss_charts, motion_chart, strokes, tracked_motion
from reports.figures.lineup import Lineup
from reports.numbers import duration, gib, group_title, number, percent, span
from reports.ranking import Group
from reports.rows import Row

PAGES = Path(__file__).parent
# A report of more runs has its tables only: a browser takes minutes to open a page with more curves.
MOST_DRAWN = 400

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class PageOptions:
    """Whether the page has clips, and their largest height in pixels."""

    clips: bool = True
    panel_px: int = DEFAULT_PANEL_PX


def render_page(
    groups: Sequence[Group], content: dict[str, Any], options: PageOptions, lineups: Sequence[Lineup] = ()
) -> str:
    """The page of ``content``, which :func:`reports.pages.content.report_content` made of ``groups``."""
    if not is_drawn(groups):
        return render_undrawn_page(content, options.clips)
    figures = {(x.table, x.subject): base64.b64encode(x.jpeg).decode("ascii") for x in lineups}
    wanted = _rows_with_clips(groups) if options.clips else []
    clips: dict[Path, dict[str, Any]] = {}
    if wanted:
        with track_progress(len(wanted), "clips") as advance:
            for position, row in enumerate(wanted, start=1):
                try:
                    clips[row.run.path] = _clip(row, f"clip-{position}", options.panel_px)
                except UserError as error:
                    log.warning("%s: its clip is left out", error)
                advance()
    tables = [
        table
        | {
            "subjects": [
                _subject(rows, f"{table['id']}-{i}", clips) | {"lineup": figures.get((position, i), "")}
                for i, rows in enumerate(group.subjects, start=1)
            ]
        }
        for position, (group, table) in enumerate(zip(groups, content["tables"], strict=True), start=1)
    ]
    training = [
        {"title": f"{row.title}, actor {row.subject_title} ({group_title(group)})", "charts": charts}
        for group in groups
        for rows in group.subjects
        for row in rows
        if (charts := loss_charts(row))
    ]
    return render_template(
        "report.html.jinja",
        content=content | {"tables": tables, "clips_wanted": options.clips, "drawn": True, "most_drawn": MOST_DRAWN},
        training=training,
        clips=list(clips.values()),
        environments=_environments(content),
    )


def render_undrawn_page(content: dict[str, Any], clips_wanted: bool) -> str:
    """The page of more runs than :func:`is_drawn` allows; it needs nothing but their ``content``."""
    about = {"clips_wanted": clips_wanted, "drawn": False, "most_drawn": MOST_DRAWN}
    tables = [table | {"subjects": []} for table in content["tables"]]
    return render_template(
        "report.html.jinja", content=content | {"tables": tables} | about, training=[], clips=[], environments=[]
    )


def is_drawn(groups: Sequence[Group]) -> bool:
    """Whether a report of these tables has charts, clips and line-ups: it has at most ``MOST_DRAWN`` runs."""
    return sum(len(group.rows) for group in groups) <= MOST_DRAWN


def render_template(name: str, **context: Any) -> str:
    """Render a page of ``reports/pages``; its style and script are inside the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(PAGES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["source"] = lambda file: Markup((PAGES / file).read_text(encoding="utf-8"))
    environment.filters |= {
        "number": _number,
        "span": _span,
        "duration": duration,
        "gib": gib,
        "raised": _raised,
        "percent": percent,
    }
    return environment.get_template(name).render(**context)


def _rows_with_clips(groups: Sequence[Group]) -> list[Row]:
    """The rows that get a clip: those with a preview. Trivial methods get one only if a subject has no other."""
    chosen: list[Row] = []
    for group in groups:
        for rows in group.subjects:
            here = [row for row in rows if (row.run.path / PREVIEW).is_file()]
            chosen += [row for row in here if not row.trivial] or here
    return chosen


def _clip(row: Row, name: str, panel_px: int) -> dict[str, Any]:
    fps = row.fps
    webm = encode_webm(read_panels(row.run, panel_px, kept="compared"), fps)
    return {
        "id": name,
        "fps": fps,
        "frames": [int(i) for i in row.run.scores.index],
        "webm": base64.b64encode(webm).decode("ascii"),
    }


def _subject(rows: Sequence[Row], name: str, clips: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    tracked = tracked_motion(rows[0])
    metrics = [m for m in rows[0].cells if any(row.cells[m].interval.n for row in rows)]
    return {
        "id": name,
        "title": rows[0].subject_title,
        "compared": rows[0].compared_with,
        "lines": [
            {"label": label(row, rows), "tone": tone, "dash": dash}
            for row, (tone, dash) in zip(rows, strokes(rows), strict=True)
        ],
        "clips": [
            {"id": clips[row.run.path]["id"], "label": label(row, rows)} for row in rows if row.run.path in clips
        ],
        "motion_here": tracked is not None,
        "charts": [
            {
                "metric": metric,
                "frame": frame_chart(rows, metric),
                "motion": [motion_chart(rows, metric, tracked, name) for name in MOTIONS] if tracked else [],
            }
            for metric in metrics
        ],
    }


def _environments(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Each different set of versions and machine, with the number of rows that were made with it."""
    found: dict[str, dict[str, Any]] = {}
    for table in content["tables"]:
        for row in table["rows"]:
            machine = f"{row['processor']}, {row['cores']} cores, {row['device']}"
            key = repr((row["versions"], machine))
            found.setdefault(key, {"versions": row["versions"], "machine": machine, "rows": 0})["rows"] += 1
    return list(found.values())


def _number(value: float | str | None) -> str:
    return number(float("nan") if value is None else float(value))


def _span(ends: Sequence[float | str | None]) -> str:
    """The interval in brackets; empty if an end is undefined or infinite."""
    return "" if any(end is None or isinstance(end, str) for end in ends) else span(*ends)  # type: ignore[arg-type]


def _raised(text: str) -> Any:
    """``CLIP-D^v`` with a raised v."""
    from markupsafe import Markup

    before, caret, after = text.partition("^")
    letter, space, rest = after.partition(" ")
    return Markup("{}<sup>{}</sup>{}{}").format(before, letter, space, rest) if caret else text
