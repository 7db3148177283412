"""Publish results: copy scores and manifests of finished runs without their pictures, and write a page of tables.

``python -m reports.results RUNS --out DIR`` takes the runs below RUNS into DIR, beside those that are there. DIR is
read by ``emo-bench report`` and ``emo-bench compare`` as any folder of runs. ``--figures`` also draws the line-ups of
edits, as the paper's figure 5: the same six frames of every method, and above them the recorded ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.runs.checksums import PRIVATE, recorded
from emo_bench.runs.finished import find_runs, open_runs
from emo_bench.runs.manifest import write_manifest
from emo_bench.runs.store import SCORES
from emo_bench.system.endings import exit_code
from reports.figures.lineup import line_up_all
from reports.markdown import code, escaped, pipe_table
from reports.numbers import duration, gib, group_title, heading, metric_label, number, times
from reports.pages.writing import group_notes, kind_cell
from reports.ranking import Group, group_rows
from reports.rows import Row
from reports.tables import read_groups

PAGE = "README.md"
# The paper's figure 5 has six frames of each method.
FIGURE, FIGURE_COLUMNS = "figure-5-", 6
# No score is bold: methods had different time and frames, so that a winner of a column is not the better method.
INTRODUCTION = (
    "Scores are means over held-out frames. No score is marked as the best, because the methods did not have equal",
    "terms: *fit* says how long each fit took and *frames fitted* on how many frames it trained. ST-LPIPS is a term of",
    "the training loss of Emo-Avatar, PointAvatar and StyleAvatar, and the prior of Emo-Avatar learned heads of the",
    "renderer that made actors 1 to 4. `python -m reports.results` writes this page. The folder of each row, beside",
    "this page, has the scores of every frame, the versions, the machine and the split. `emo-bench report` on this",
    "folder adds intervals, curves and charts; `emo-bench compare` compares a run of yours with a row. Runs with",
    "different protocols, splits, resolutions or backends are in different tables. Times depend on the machine and on",
    "what else it did during the run. `emo-bench sweep results` makes the runs on the bundled actors again, and",
    "`emo-bench sweep results-filmed --video franck=FILE` those on the filmed man, whose video you give.",
)


def publish_results(runs: Path, out: Path, *, figures: bool = False) -> Path:
    """Copy ``run.json`` and ``frames.parquet`` of each finished run below ``runs`` into ``out``. Returns the page.

    The copy of ``run.json`` does not have the paths of a method's own file and of a protocol's.

    A run keeps its path below ``runs`` and replaces an older run of the same path. The page has tables of all runs in
    ``out``.

    Args:
        runs: the folder of finished runs.
        out: the folder of results.
        figures: also draw a line-up of each subject that several edits show; the page shows all that are in ``out``.

    Raises:
        UserError: no run is finished, or one is damaged.
    """
    opened = open_runs(find_runs([runs]))
    if opened.damaged:
        raise UserError(next(iter(opened.damaged.values())))
    for run in opened.finished:
        target = out / run.path.relative_to(runs)
        target.mkdir(parents=True, exist_ok=True)
        write_bytes(target / SCORES, (run.path / SCORES).read_bytes())
        # The paths of files on somebody's machine are private.
        said = {key: value for key, value in run.manifest.items() if key not in PRIVATE}
        left_out = sorted(recorded(run.manifest).keys() - {SCORES})
        write_manifest(target, {**said, "left_out": left_out})
    if figures:
        _draw_figures(group_rows(opened.finished), out)
    groups, absent = read_groups(find_runs([out]))
    if absent.damaged:
        raise UserError(next(iter(absent.damaged.values())))
    drawn = sorted(path.name for path in out.glob(f"{FIGURE}*.jpg"))
    write_bytes(out / PAGE, results_page(groups, drawn).encode())
    return out / PAGE


def _draw_figures(groups: Sequence[Group], out: Path) -> None:
    edits = [group for group in groups if group.kinds and not group.rows[0].run.manifest["smoke"]]
    for lineup in line_up_all(edits, FIGURE_COLUMNS):
        write_bytes(out / f"{FIGURE}{lineup.words}.jpg", lineup.jpeg)


def results_page(groups: Sequence[Group], figures: Sequence[str] = ()) -> str:
    """The page of a folder of results, with one section for each table, and the figures that lie beside it."""
    blocks = ["# Results", "", *INTRODUCTION]
    for group in groups:
        protocol = group.rows[0].identity["protocol"]
        cells = group.rows[0].cells.items()
        backends = [f"{metric_label(metric)} by {cell.record['backend']['name']}" for metric, cell in cells]
        blocks += [
            "",
            f"## {escaped(group_title(group))}",
            "",
            f"Protocol hash {code(protocol['hash'][:12])}; {escaped(', '.join(backends))}. Actors: "
            f"{escaped('; '.join(_actors(group)))}.",
            "",
            *_averages(group),
            *_table(group),
            "",
            *(f"- {escaped(note)}" for note in group_notes(group)),
        ]
    if figures:
        blocks += ["", "## Figure 5", "", "The same six frames of every method, and above them the recorded ones."]
        for name in figures:
            title = name.removeprefix(FIGURE).removesuffix(".jpg")
            blocks += ["", f"![Edits of actor {title}]({name})"]
    return "\n".join(blocks) + "\n"


def _actors(group: Group) -> list[str]:
    """Each actor once, as in ``1 (studio, 1500 frames at 25 fps)``."""
    found: dict[str, None] = {}
    for rows in group.subjects:
        capture = rows[0].run.manifest["capture"]
        facts = f"{capture['source']}, {capture['frames']} frames at {capture['fps']:g} fps"
        found[f"{rows[0].subject.actor} ({facts})"] = None
    return list(found)


def _averages(group: Group) -> list[str]:
    if not group.averages:
        return []
    headings = [heading(group.rows[0].cells[metric]) for metric in group.metrics]
    lines = []
    for average in group.averages:
        rows = [row for rows in average.rows for row in rows]
        profile = f"{average.first.identity['profile']}, {' '.join(map(str, average.seeds))}"
        means = [number(average.mean(metric)) for metric in group.metrics]
        fit = duration(mean(row.stages["fit"]["seconds"] for row in rows))
        lines.append([average.first.title, profile, *means, fit, _frames_text(rows)])
    title = f"Means over the {len(group.subjects)} subjects, for the methods that ran on all of them:"
    header = ["method", "profile, seed", *headings, "fit", "frames fitted"]
    return [title, "", *pipe_table(header, lines), ""]


def _table(group: Group) -> list[str]:
    headings = [heading(group.rows[0].cells[metric]) for metric in group.metrics]
    named = ["actor", "method", *(["kind"] if group.kinds else []), "profile", "n"]
    header = [*named, *headings, "fit", "frames fitted", "render", "memory", "parameters"]
    lines = []
    for rows in group.subjects:
        for row in rows:
            means = [number(row.cells[metric].interval.mean) for metric in group.metrics]
            profile, frames = row.identity["profile"], str(row.stages["score"]["frames"])
            fit, render = times(row)
            shown = [
                row.subject_title,
                row.title,
                *kind_cell(group, row),
                profile,
                frames,
                *means,
                fit,
                _frames_text([row]),
                render,
            ]
            lines.append([*shown, *_costs(row)])
    return pipe_table([*header, "commit"], lines)


def frames_fitted(row: Row) -> int | None:
    """Return on how many frames the fit trained: those of the split, at most ``max_train_frames`` of the method.

    An edit starts from a fitted avatar, whose own row has the number; for an edit this is None.
    """
    if "style" in row.identity:
        return None
    available = int(row.stages["fit"]["frames"])
    most = row.identity["config"].get("max_train_frames")
    return available if most is None else min(available, int(most))


def _frames_text(rows: Sequence[Row]) -> str:
    counts = {count for count in map(frames_fitted, rows) if count is not None}
    least, most = min(counts, default=0), max(counts, default=0)
    return "" if not counts else str(least) if least == most else f"{least} to {most}"


def _costs(row: Row) -> list[str]:
    """Peak memory of the fit or of a video editor, number of parameters if known, and commit of the code."""
    fit = row.stages["fit"]
    parameters = row.run.manifest.get("described", {}).get("parameters")
    counted = f"{parameters / 1e6:.2f} M" if parameters else ""
    return [gib(row.memory_mib), counted, str(fit["machine"]["commit"] or "")[:7]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code; 2 means a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m reports.results", description=__doc__)
    parser.add_argument("runs", type=Path, help="folder with finished runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figures", action="store_true", help="also draw the line-ups of edits (figure 5)")
    given = parser.parse_args(arguments)
    return exit_code(lambda: publish_results(given.runs, given.out, figures=given.figures))


if __name__ == "__main__":
    sys.exit(main())
