"""Tables and pages from finished runs. Importing this package is fast."""

from typing import TYPE_CHECKING

import lazy_loader

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads

if TYPE_CHECKING:
    from reports.pages.writing import summary, write_report
    from reports.paper import PaperTable, load_paper_tables
    from reports.tables import long_table

__all__ = ["PaperTable", "load_paper_tables", "long_table", "summary", "write_report"]

# Pandas and the rest are imported only when a report is asked for.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "pages.writing": ["summary", "write_report"],
        "paper": ["PaperTable", "load_paper_tables"],
        "tables": ["long_table"],
    },
)
