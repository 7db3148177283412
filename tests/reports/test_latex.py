"""LaTeX tables: whole, escaped, ranked, and compiled where there is a LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from emo_bench.runs.finished import find_runs
from reports.pages.latex import _average_table, _group_table, escape, latex_report
from reports.ranking import group_rows
from reports.tables import read_groups
from tests.reports.test_comparison import run

DOCUMENT = r"""\documentclass{article}
\usepackage[landscape]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
\input{report}
\end{document}
"""


def test_best_is_bold_and_second_underlined() -> None:
    runs = [
        run(np.full(40, value), {"identity.method": name, "title": name})
        for name, value in (("a", 20.0), ("b", 30.0), ("c", 25.0), ("d", 10.0))
    ]
    (group,) = group_rows(runs)
    text = _group_table(group, 1)
    cells = {
        line.split(" & ")[1].partition(",")[0]: line.split(" & ")[2] for line in text.splitlines() if "seed" in line
    }
    assert cells["b"].startswith(r"\textbf{30.00}\ci{30.00}{30.00}")
    assert cells["c"].startswith(r"\underline{25.00}")
    assert cells["a"].startswith(r"20.00\ci") and cells["d"].startswith(r"10.00\ci")
    assert r"PSNR $\uparrow$ (dB)" in text


def test_means_over_actors_are_ranked_on_frames_that_all_have() -> None:
    """On the frames that both have `b` is better on actor 1 by 5 and worse on actor 2 by 1."""
    partial = np.where(np.arange(40) < 2, np.nan, 25.0)
    runs = [
        run(scores, {"identity.method": name, "title": name, "identity.actor.name": actor})
        for name, actor, scores in (
            ("a", "1", np.where(np.arange(40) < 2, 200.0, 20.0)),
            ("a", "2", np.full(40, 21.0)),
            ("b", "1", partial),
            ("b", "2", np.full(40, 20.0)),
        )
    ]
    (group,) = group_rows(runs)
    text = _average_table(group, 1)
    assert r"\textbf{22.50}" in text and r"\underline{25.00}" in text


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("CLIP-D^v (in2n)", "CLIP-D$^{v}$ (in2n)"),
        (r"c:\x{y}~#$", r"c:\textbackslash{}x\{y\}\textasciitilde{}\#\$"),
        ("PSNR ↑", r"PSNR $\uparrow$"),
    ],
)
def test_letters_that_latex_reads_are_escaped(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_tables_are_whole(runs_dir: Path) -> None:
    text = latex_report(read_groups(find_runs([runs_dir]))[0])
    begun, ended = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert re.sub(r"\\[{}]", "", text).count("{") == re.sub(r"\\[{}]", "", text).count("}")
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL)
    assert len(tables) == 3
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 2
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


def test_a_latex_compiles_it(runs_dir: Path, tmp_path: Path) -> None:
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex on PATH")
    (tmp_path / "report.tex").write_text(latex_report(read_groups(find_runs([runs_dir]))[0]))
    (tmp_path / "main.tex").write_text(DOCUMENT)
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Undefined" not in done.stdout
