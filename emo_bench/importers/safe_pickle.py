"""Dictionaries of arrays in a ``.npy``, as ``numpy.save`` writes them with ``allow_pickle``: plain values only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from emo_bench.untrusted.arrays import PickledArray, numpy_builders
from emo_bench.untrusted.budget import Budget
from emo_bench.untrusted.npy import read_header, read_npy
from emo_bench.untrusted.pickle_machine import PickleMachine
from emo_bench.untrusted.refusal import reading


def load_plain(path: Path) -> Any:
    """The object in a ``.npy`` file that was saved with ``allow_pickle``, or its array of plain numbers.

    Raises:
        UserError: it cannot be read, or holds more than arrays and plain values.
    """
    with reading(path, "file of FaceVerse v4"), path.open("rb") as file:
        size = path.stat().st_size
        if read_header(file).code not in ("O", "O8"):
            file.seek(0)
            return read_npy(file, size)
        budget = Budget(size)
        # In memory: a file object would first make room for whatever length an operation claims.
        content = PickleMachine(numpy_builders(budget), budget).read(io.BytesIO(file.read()))
    if isinstance(content, PickledArray) and content.items is not None and content.shape == ():
        return content.items[0]
    return content
