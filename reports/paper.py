"""The tables of the paper as data, with the values as printed, and their errata."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

if TYPE_CHECKING:
    from reports.ranking import Group

SOURCE = "Emo-Avatar, arXiv 2402.00827v1"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PaperMetric(_Model):
    """A column: ``id`` is the toolkit's metric of the same kind, ``label`` is the paper's heading.

    ``flag`` names an entry of the table's errata that is about the heading.
    """

    id: str
    label: str
    direction: Literal["higher", "lower"]
    flag: str = ""


class PaperRow(_Model):
    """A method's values as printed; ``flags`` maps a metric id to an entry of the table's errata."""

    method: str
    values: tuple[str, ...]
    flags: dict[str, str] = {}


class PaperTable(_Model):
    """One published table."""

    id: str
    title: str
    metrics: tuple[PaperMetric, ...]
    rows: tuple[PaperRow, ...]
    errata: dict[str, str] = {}

    @property
    def marked_columns(self) -> list[tuple[PaperMetric, int | None]]:
        """Each column with the number of the erratum about its heading, from 1."""
        numbers = {name: number for number, name in enumerate(self.errata, start=1)}
        return [(metric, numbers.get(metric.flag)) for metric in self.metrics]

    @property
    def marked_rows(self) -> list[tuple[str, list[tuple[str, int | None]]]]:
        """Each method with its values as printed, and the number of the erratum of each value, from 1."""
        numbers = {name: number for number, name in enumerate(self.errata, start=1)}
        return [
            (
                row.method,
                [(v, numbers.get(row.flags.get(m.id, ""))) for v, m in zip(row.values, self.metrics, strict=True)],
            )
            for row in self.rows
        ]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        columns = {metric.id for metric in self.metrics}
        for row in self.rows:
            if len(row.values) != len(self.metrics):
                raise ValueError(f"{self.id}, {row.method}: {len(row.values)} values")
            if not row.flags.keys() <= columns or not set(row.flags.values()) <= self.errata.keys():
                raise ValueError(f"{self.id}, {row.method}: a flag names no column or no erratum")
        marked = {flag for row in self.rows for flag in row.flags.values()} | {m.flag for m in self.metrics} - {""}
        if marked != self.errata.keys():
            raise ValueError(
                f"{self.id}: errata without a mark, or marks without an erratum: {marked ^ set(self.errata)}"
            )
        return self


@cache
def load_paper_tables() -> dict[str, PaperTable]:
    """Load the tables by id, ``table-1`` to ``table-4``."""
    content = tomllib.loads(Path(__file__).with_name("paper_tables.toml").read_text(encoding="utf-8"))
    return {entry["id"]: PaperTable(**entry) for entry in content["table"]}


def paper_tables_for(groups: Iterable[Group]) -> list[PaperTable]:
    """The tables that fit the groups: Table 1 for self-reenactment, 2 for edits, none for other motion or views."""
    edits = {bool(row.style) for group in groups for row in group.rows if not row.driver and not row.other_views}
    tables = load_paper_tables()
    return [tables[name] for edit, name in ((False, "table-1"), (True, "table-2")) if edit in edits]


def table_title(table: PaperTable) -> str:
    """The title of a table, as in ``Emo-Avatar, arXiv 2402.00827v1, Table 1``."""
    return f"{SOURCE}, {table.id.replace('-', ' ').capitalize()}"
