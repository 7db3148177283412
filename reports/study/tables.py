"""Write the scores of a user study in the form of the paper's Table 3: Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

from pathlib import Path

from emo_bench.files import write_bytes
from emo_bench.text.csv_text import csv_text
from reports.markdown import Markdown, errata, escaped, pipe_table, published_table
from reports.pages.latex import escape
from reports.paper import load_paper_tables, table_title
from reports.study.building import StudyKey
from reports.study.scoring import Opinion, StudyScores, as_json

MARKDOWN, LATEX, SCORES, RATINGS, JSON = "mos.md", "mos.tex", "mos.csv", "ratings.csv", "mos.json"
PAPER_TABLE = "table-3"


def write_scores(key: StudyKey, scores: StudyScores, out: Path) -> list[Path]:
    """Write the table in every format, and all ratings, into ``out``. Returns the files, Markdown first."""
    import pandas

    opinions = pandas.DataFrame([vars(opinion) for opinion in scores.opinions])
    texts = {
        MARKDOWN: study_markdown(key, scores),
        LATEX: study_latex(key, scores),
        SCORES: csv_text(opinions),
        RATINGS: csv_text(scores.ratings),
        JSON: as_json(key, scores),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / name for name in texts]


def study_markdown(key: StudyKey, scores: StudyScores) -> str:
    """The Markdown page: mean opinions, agreement, notes, and the published table."""
    labels = [f"{label} ↑" for label in _labels()]
    lines = ["# User study", "", escaped(_about(key, scores)), ""]
    rows = [[*row[:3], *map(Markdown, row[3:])] for row in _rows(key, scores, "**{}**")]
    lines += pipe_table(["method", "clips", "ratings", *labels], rows)
    lines += ["", "Agreement of the participants: Krippendorff's ordinal alpha. 1 is full agreement, 0 is chance.", ""]
    lines += pipe_table(_labels(), [[_two(scores.alpha[statement.id]) for statement in key.statements]])
    notes = [f"Participant {name} does not count: {reason}." for name, reason in scores.excluded.items()]
    lines += ["", *(f"- {escaped(note)}" for note in (*notes, *scores.notes))]
    lines += ["", *_published()]
    return "\n".join(lines) + "\n"


def study_latex(key: StudyKey, scores: StudyScores) -> str:
    """The LaTeX table for booktabs, with the best mean bold."""
    rows = [[escape(row[0]), *row[3:]] for row in _rows(key, scores, r"\textbf{{{}}}", r"{{\scriptsize\,[{}, {}]}}")]
    heads = ["Method", *(escape(f"{label} ↑") for label in _labels())]
    body = [" & ".join(cells) + r" \\" for cells in rows]
    return "\n".join(
        [
            r"% Written by emo-bench study score. In the preamble: \usepackage{booktabs}.",
            r"\begin{table}", r"\centering\small", rf"\caption{{{escape(_about(key, scores))}}}",
            r"\begin{tabular}{l" + "r" * len(key.statements) + "}", r"\toprule", " & ".join(heads) + r" \\",
            r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip


def _about(key: StudyKey, scores: StudyScores) -> str:
    return (
        f"Mean opinion scores from 1 (Bad) to 5 (Excellent): {len(scores.participants)} participants, "
        f"{len(key.clips)} clips, study {key.study}. "
        "The brackets are 95 % bootstrap intervals over participants and clips."
    )


def _rows(key: StudyKey, scores: StudyScores, bold: str, span: str = " [{}, {}]") -> list[list[str]]:
    """The rows of the table: method, number of clips, number of ratings, and a mean for each statement."""
    best = {
        statement.id: max(opinion.mean for opinion in scores.opinions if opinion.statement == statement.id)
        for statement in key.statements
    }
    methods = list(dict.fromkeys(opinion.method for opinion in scores.opinions))
    rows = []
    for method in methods:
        own = {opinion.statement: opinion for opinion in scores.opinions if opinion.method == method}
        first = own[key.statements[0].id]
        cells = [
            _cell(own[s.id], bold if own[s.id].mean == best[s.id] and len(methods) > 1 else "{}", span)
            for s in key.statements
        ]
        rows.append([method, str(first.clips), str(first.ratings), *cells])
    return rows


def _cell(opinion: Opinion, form: str, span: str) -> str:
    mean = form.format(_two(opinion.mean))
    return mean if opinion.low != opinion.low else mean + span.format(_two(opinion.low), _two(opinion.high))


def _two(value: float) -> str:
    return "n/a" if value != value else f"{value:.2f}"


def _labels() -> list[str]:
    return [metric.label for metric in load_paper_tables()[PAPER_TABLE].metrics]


def _published() -> list[str]:
    table = load_paper_tables()[PAPER_TABLE]
    return [
        f"## {table_title(table)}",
        "",
        "The authors asked 12 participants about 25 clips of their own. These numbers are not ranked with ours.",
        "",
        *published_table(table),
        "",
        *(f"- {line}" for line in errata(table)),
    ]
