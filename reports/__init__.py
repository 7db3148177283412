"""Tables and pages from finished runs. Importing the package is cheap."""

from typing import TYPE_CHECKING, Any

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.waiting_threads

if TYPE_CHECKING:
    from reports.paper import PaperTable, load_paper_tables
    from reports.tables import long_table
    from reports.writing import summary, write_report

_HOME = {
    "PaperTable": "paper",
    "load_paper_tables": "paper",
    "long_table": "tables",
    "summary": "writing",
    "write_report": "writing",
}

__all__ = ["PaperTable", "load_paper_tables", "long_table", "summary", "write_report"]


def __getattr__(name: str) -> Any:
    """Import pandas and the rest only when a report is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
