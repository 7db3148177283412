"""Read safetensors: tensors by name and the metadata texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from emo_bench.untrusted.plain_json import parse_json
from emo_bench.untrusted.refusal import Unreadable, reading


def read_safetensors(
    path: Path, what: str = "safetensors file", remedy: str = ""
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors by name, on the CPU, and the metadata; ``what`` and ``remedy`` as for ``reading``.

    Raises:
        UserError: the file cannot be read.
    """
    from safetensors import safe_open

    with reading(path, what, remedy), safe_open(path, framework="pt", device="cpu") as file:
        metadata = file.metadata() or {}
        return {name: file.get_tensor(name) for name in file.keys()}, dict(metadata)  # noqa: SIM118


def metadata_object(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """Parse the JSON object in a text of the metadata.

    Raises:
        Unreadable: there is none.
    """
    if name not in metadata:
        raise Unreadable(f"its metadata lacks {name}")
    return parse_json(metadata[name], name)
