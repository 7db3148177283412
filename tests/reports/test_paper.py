"""The published tables: as printed in the paper, and the checks that found its errata."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from reports import load_paper_tables
from reports.markdown import published_table
from reports.pages.latex import _paper_table
from reports.paper import PaperMetric, PaperRow, PaperTable


@pytest.mark.parametrize(("table", "number"), [("table-1", 1), ("table-2", 2), ("table-3", 3), ("table-4", 4)])
def test_values_are_those_of_the_paper(table: str, number: int, shared_folder: Path) -> None:
    """Every row of ours stands in the paper's text just above the caption, digit for digit."""
    paper = shared_folder / "docs" / "paper.md"
    if not paper.is_file():
        pytest.skip(f"the paper's text is not here ({paper})")
    text = re.sub(r"</?b>", "", paper.read_text(encoding="utf-8")).replace("\N{EN DASH}", "-")
    above = text[: text.index(f"**Table {number}:")].splitlines()
    printed = [tuple(re.findall(r"(?<=\t)(?:[\d.]+|-)(?=\t|$)", line)) for line in above]
    ours = [row.values for row in load_paper_tables()[table].rows]
    assert [values for values in printed if values][-len(ours) :] == ours


def test_copied_values_are_flagged() -> None:
    """Table 4 repeats values of Table 2 that belong to other methods; each copy carries a flag."""
    tables = load_paper_tables()
    edits = {
        row.method: dict(zip([m.id for m in tables["table-2"].metrics], row.values, strict=True))
        for row in tables["table-2"].rows
    }
    rav = edits["Rerender-A-Video"]
    without_patch = tables["table-4"].rows[2]
    values = dict(zip([m.id for m in tables["table-4"].metrics], without_patch.values, strict=True))
    assert values["psnr"] == rav["biq"]
    assert [values[m] for m in ("sd", "clip_d", "clip_dv")] == [rav[m] for m in ("sd", "clip_d", "clip_dv")]
    assert {"psnr", "sd", "clip_d", "clip_dv"} <= without_patch.flags.keys()


def test_a_flag_without_an_erratum_is_refused() -> None:
    metric = PaperMetric(id="psnr", label="PSNR", direction="higher")
    row = PaperRow(method="x", values=("1",), flags={"psnr": "why"})
    with pytest.raises(ValidationError, match="no erratum"):
        PaperTable(id="t", title="", metrics=(metric,), rows=(row,))


def test_an_erratum_without_a_mark_is_refused() -> None:
    """A reader looks for the mark of every line below the table."""
    metric = PaperMetric(id="psnr", label="PSNR", direction="higher")
    row = PaperRow(method="x", values=("1",))
    with pytest.raises(ValidationError, match=r"errata without a mark, or marks without an erratum: \{'why'\}"):
        PaperTable(id="t", title="", metrics=(metric,), rows=(row,), errata={"why": "because"})
    with pytest.raises(ValidationError, match="errata without a mark"):
        PaperTable(id="t", title="", metrics=(metric.model_copy(update={"flag": "why"}),), rows=(row,))


@pytest.mark.parametrize("name", ["table-1", "table-2", "table-3", "table-4"])
def test_every_line_of_the_errata_has_its_mark_in_the_table(name: str) -> None:
    table = load_paper_tables()[name]
    lines = "\n".join(published_table(table))
    latex = _paper_table(table).split(r"\bottomrule")[0]
    for number in range(1, len(table.errata) + 1):
        assert f"[{number}]" in lines and f"$^{{{number}}}$" in latex
    assert f"[{len(table.errata) + 1}]" not in lines
