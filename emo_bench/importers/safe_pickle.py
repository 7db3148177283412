"""Pickled dictionaries of arrays, as numpy and older torch write them: only arrays and plain values are built."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import one_line

ARRAY_PARTS = {
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "_codecs": {"encode"},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in ARRAY_PARTS.get(module, set()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")


def load_plain(path: Path) -> Any:
    """The object in a ``.npy`` file that was saved with ``allow_pickle``.

    Raises:
        UserError: it cannot be read, or holds more than arrays and plain values.
    """
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            _, _, dtype = read(file)
            if not dtype.hasobject:
                return np.load(path, allow_pickle=False)
            content = _PlainUnpickler(file).load()
    # Whatever a damaged file makes a parser raise.
    except Exception as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    return content.item() if isinstance(content, np.ndarray) and content.shape == () else content
