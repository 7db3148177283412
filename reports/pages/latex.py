r"""Write a report as LaTeX: booktabs tables with the best score bold and the second underlined, for ``\input``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from emo_bench.text.plain_text import printable
from reports.figures.lineup import Lineup
from reports.notes import score_notes
from reports.numbers import ARROWS, UNITLESS, group_title, metric_label, number, percent, share_heading
from reports.paper import PaperTable, paper_tables_for, table_title
from reports.ranking import Group
from reports.rows import Row

HEAD = r"""% Written by emo-bench report. In the preamble: \usepackage{booktabs,graphicx}. Include with \input{report}.
% Names that are not in Latin script need XeLaTeX or LuaLaTeX, and a font that has their letters.
% Brackets are 95 % intervals of means over similar neighbouring frames (docs/statistics.md). A score without brackets
% has no interval: its frames are too few or too similar, or a score is infinite (report.json says which).
% To leave the brackets out, write \renewcommand{\ci}[2]{} after this line.
\providecommand{\ci}[2]{{\scriptsize\,[#1, #2]}}
"""
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "|": r"\textbar{}", "\N{NO-BREAK SPACE}": "~",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}  # fmt: skip
SUPERSCRIPT = re.compile(r"\^(\w+)")
FULL_WIDTH_METRICS = 6
MATH = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}


def latex_report(groups: Sequence[Group], lineups: Sequence[Lineup] = ()) -> str:
    """The tables of all groups, the means over actors, the published tables, and figures that lie beside the file."""
    blocks = [HEAD]
    for position, group in enumerate(groups, start=1):
        blocks.append(_group_table(group, position))
        if group.averages:
            blocks.append(_average_table(group, position))
        blocks += [_figure(lineup) for lineup in lineups if lineup.table == position]
    blocks += [_paper_table(table) for table in paper_tables_for(groups)]
    return "\n".join(blocks)


def escape(text: str) -> str:
    """Escape plain text for LaTeX; the v of ``CLIP-D^v`` is raised."""
    pieces = SUPERSCRIPT.split(printable(text))
    plain = ["".join(SPECIAL.get(letter, MATH.get(letter, letter)) for letter in piece) for piece in pieces]
    return "".join(f"$^{{{piece}}}$" if i % 2 else piece for i, piece in enumerate(plain))


def _group_table(group: Group, position: int) -> str:
    count = len(group.metrics) + len(group.incomplete)
    kind = ["Kind"] if group.kinds else []
    lines = [r"\begin{tabular}{ll" + "l" * len(kind) + "r" * count + "}", r"\toprule"]
    lines += [_line(["Actor", "Method", *kind, *_headings(group)])]
    for rows in group.ranked:
        lines.append(r"\midrule")
        for i, (row, ranks) in enumerate(rows):
            cells = []
            for metric, rank in ranks.items():
                cells.append(_cell(row, metric, rank))
                cells += [escape(percent(row.cells[metric].scored_share))] if metric in group.incomplete else []
            named = [escape(row.subject_title) if i == 0 else "", escape(_method(row, [row.seed]))]
            lines.append(_line([*named, *([escape(row.kind)] if kind else []), *cells]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if count > FULL_WIDTH_METRICS:
        lines = [r"\resizebox{\linewidth}{!}{%", *lines, "}"]
    caption = f"{group_title(group)}. For each actor, the best score is bold and the second best is underlined."
    caption = " ".join([caption, *score_notes(group)])
    return _float(lines, caption, f"tab:emo-bench-{position}")


def _average_table(group: Group, position: int) -> str:
    lines = [r"\begin{tabular}{l" + "r" * (len(group.metrics) + len(group.incomplete)) + "}", r"\toprule"]
    lines += [_line(["Method", *_headings(group)]), r"\midrule"]
    for average in group.averages:
        cells = []
        for m in group.metrics:
            cells.append(_ranked(_value(average.mean(m)), average.ranks[m]))
            cells += [escape(percent(average.scored_share(m)))] if m in group.incomplete else []
        lines.append(_line([escape(_method(average.first, average.seeds)), *cells]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    caption = f"Means over {len(group.subjects)} subjects: {group_title(group)}."
    return _float(lines, caption, f"tab:emo-bench-{position}-mean")


def _marked(text: str, mark: int | None) -> str:
    if mark is None:
        return escape(text)
    # Two dollars in a row would begin a displayed formula.
    between = "{}" if escape(text).endswith("$") else ""
    return f"{escape(text)}{between}$^{{{mark}}}$"


def _paper_table(table: PaperTable) -> str:
    """A published table as printed, without ranks; a superscript refers to the errata in the caption."""
    lines = [r"\begin{tabular}{l" + "r" * len(table.metrics) + "}", r"\toprule"]
    heads = [(f"{m.label} {ARROWS[m.direction]}", mark) for m, mark in table.marked_columns]
    lines += [_line(["Method", *(_marked(text, mark) for text, mark in heads)])]
    lines.append(r"\midrule")
    for method, values in table.marked_rows:
        lines.append(_line([escape(method), *(_marked(value, mark) for value, mark in values)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = " ".join(f"[{n}] {text}" for n, text in enumerate(table.errata.values(), start=1))
    about = "as published. It was measured on other videos and is not ranked with our scores."
    caption = f"{table_title(table)}, {about} {notes}"
    return _float(lines, caption, f"tab:emo-bench-published-{table.id}")


def _figure(lineup: Lineup) -> str:
    head = [r"\begin{figure*}", r"\centering", rf"\includegraphics[width=\linewidth]{{{lineup.name}}}"]
    caption = f"{lineup.title}. The frames are spread evenly over the held-out frames."
    label = rf"\label{{fig:emo-bench-{lineup.table}-{lineup.subject}}}"
    return "\n".join([*head, rf"\caption{{{escape(caption)}}}", label, r"\end{figure*}", ""])


def _headings(group: Group) -> list[str]:
    found = []
    for metric in group.metrics:
        cell = group.rows[0].cells[metric]
        unit = "" if cell.record["unit"] == UNITLESS else f" ({cell.record['unit']})"
        found.append(escape(f"{metric_label(metric)} {ARROWS[cell.record['direction']]}{unit}"))
        found += [escape(share_heading(cell))] if metric in group.incomplete else []
    return found


def _method(row: Row, seeds: Sequence[int]) -> str:
    return f"{row.title}, {row.identity['profile']}, seed{'s' * (len(seeds) > 1)} {' '.join(map(str, seeds))}"


def _cell(row: Row, metric: str, rank: int | None) -> str:
    interval = row.cells[metric].interval
    value = _ranked(_value(interval.mean), rank)
    if not all(map(math.isfinite, (interval.mean, interval.low, interval.high))):
        return value
    return rf"{value}\ci{{{number(interval.low)}}}{{{number(interval.high)}}}"


def _value(mean: float) -> str:
    return r"$\infty$" if math.isinf(mean) else "--" if math.isnan(mean) else number(mean)


def _ranked(value: str, rank: int | None) -> str:
    marks: Mapping[int | None, str] = {1: r"\textbf", 2: r"\underline"}
    return f"{marks[rank]}{{{value}}}" if rank in marks else value


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _float(lines: Sequence[str], caption: str, label: str) -> str:
    head = [r"\begin{table}", r"\centering\small", rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}"]
    return "\n".join([*head, *lines, r"\end{table}", ""])
