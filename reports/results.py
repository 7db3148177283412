"""Publish results: copy scores and manifests of finished runs without their pictures, and write a page of tables.

``python -m reports.results RUNS --out DIR`` takes the runs below RUNS into DIR, beside those that are there. DIR is
read by ``emo-bench report`` and ``emo-bench compare`` as any folder of runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.files import write_bytes, write_json
from emo_bench.runs.finished import find_runs, open_runs
from emo_bench.runs.manifest import MANIFEST
from emo_bench.runs.store import SCORES
from emo_bench.system.endings import exit_code
from reports.markdown import code, escaped, mean_text, pipe_table
from reports.numbers import gib, group_title, heading, metric_label, times
from reports.pages.writing import average_table, group_notes
from reports.ranking import Group
from reports.rows import Row
from reports.tables import read_groups

PAGE = "README.md"
PRIVATE = ("method_place", "protocol_place")


def publish_results(runs: Path, out: Path) -> Path:
    """Copy ``run.json`` and ``frames.parquet`` of each finished run below ``runs`` into ``out``. Returns the page.

    The copy of ``run.json`` does not have the paths of a method's own file and of a protocol's.

    A run keeps its path below ``runs`` and replaces an older run of the same path. The page has tables of all runs in
    ``out``.

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
        write_json(target / MANIFEST, said)
    groups, _ = read_groups(find_runs([out]))
    write_bytes(out / PAGE, results_page(groups).encode())
    return out / PAGE


def results_page(groups: Sequence[Group]) -> str:
    """The page of a folder of results, with one section for each table."""
    blocks = [
        "# Results",
        "",
        "Scores are means over held-out frames. The best score of each actor is bold. `python -m reports.results` "
        "writes",
        "this page. The folder of each row, beside this page, has the scores of every frame, the versions, the "
        "machine and",
        "the split. `emo-bench report` on this folder adds intervals, curves and charts; `emo-bench compare` compares "
        "a run",
        "of yours with a row. Runs with different protocols, splits, resolutions or backends are in different tables. "
        "Times",
        "depend on the machine and on what else it did during the run.",
    ]
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
    table = average_table(group)
    if not table:
        return []
    return [f"Means over the {len(group.subjects)} subjects, for the methods that ran on all of them:", "", table, ""]


def _table(group: Group) -> list[str]:
    headings = [heading(group.rows[0].cells[metric]) for metric in group.metrics]
    header = ["actor", "method", "profile", "n", *headings, "fit", "render", "memory", "parameters", "commit"]
    lines = []
    for rows in group.ranked:
        for row, ranks in rows:
            means = [mean_text(row.cells[m].interval.mean, rank == 1) for m, rank in ranks.items()]
            profile, frames = row.identity["profile"], str(row.stages["score"]["frames"])
            lines.append([row.subject_title, row.title, profile, frames, *means, *times(row), *_costs(row)])
    return pipe_table(header, lines)


def _costs(row: Row) -> list[str]:
    """Peak memory of the fit, number of parameters if the method tells it, and commit of the code that did the fit."""
    fit = row.stages["fit"]
    parameters = row.run.manifest.get("described", {}).get("parameters")
    counted = f"{parameters / 1e6:.2f} M" if parameters else ""
    return [gib(fit["memory_mib"]), counted, str(fit["machine"]["commit"] or "")[:7]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code; 2 means a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m reports.results", description=__doc__)
    parser.add_argument("runs", type=Path, help="folder with finished runs")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    return exit_code(lambda: publish_results(given.runs, given.out))


if __name__ == "__main__":
    sys.exit(main())
