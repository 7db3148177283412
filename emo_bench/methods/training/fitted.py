"""The file of a fitted avatar, ``checkpoint.safetensors``: its tensors and their configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from safetensors.torch import save
from torch import Tensor

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.untrusted.refusal import Unreadable, reading, refusing
from emo_bench.untrusted.safetensors_file import read_safetensors

# The file name of a fitted avatar and of an edit.
CHECKPOINT = "checkpoint.safetensors"
AVATAR = "fitted avatar"
# The same command that made the damaged file makes it again.
REMEDY = "; give its emo-bench run command again"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors and texts as a safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # save_file would replace our file by its own with mode 0600, so the bytes are written here.
    write_bytes(path, _with_ordered_metadata(save(plain, dict(metadata) if metadata else None)))


def _with_ordered_metadata(content: bytes) -> bytes:
    """Sort the texts in the header of a safetensors file; the library writes them in a random order.

    An edit's identity holds the SHA-256 of the avatar's checkpoint, so equal avatars must give equal files.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # The format aligns the tensors to 8 bytes.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], config_json: str) -> None:
    """Write the fitted avatar, whole or not at all."""
    save_tensors(folder / CHECKPOINT, tensors, {"config": config_json})


def load_checkpoint(folder: Path, config_json: str, required: Iterable[str] = ()) -> dict[str, Tensor]:
    """Read the fitted avatar and check that it holds the tensors ``required``; build the avatar inside ``restoring``.

    Raises:
        UserError: there is none, it is damaged, or it was fitted with another configuration.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise UserError(f"{path} is missing: run the fit first")
    tensors, metadata = read_safetensors(path, AVATAR, REMEDY)
    if metadata.get("config") != config_json:
        raise UserError(f"{path} was fitted with other settings: use the settings in its run.json")
    for name in required:
        if name not in tensors:
            raise UserError(f"{path} cannot be read as a {AVATAR} (it lacks {name}){REMEDY}")
    return tensors


def load_array(
    folder: Path, name: str, dtype: np.dtype, shape: tuple[int | None, ...], file: str = CHECKPOINT
) -> np.ndarray:
    """Read one array of a checkpoint, or of another safetensors file, with this type and shape (None: any length).

    Raises:
        UserError: there is no checkpoint, or it holds something else.
    """
    path = folder / file
    if not path.exists():
        raise UserError(f"{path} is missing: run the fit first")
    tensors, _ = read_safetensors(path, AVATAR, REMEDY)
    with reading(path, AVATAR, REMEDY):
        array = tensors[name].numpy()
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            raise Unreadable(f"{name} is {array.dtype} of shape {array.shape}")
        return array


def restoring(folder: Path) -> AbstractContextManager[None]:
    """Raise a UserError that names the file if the checkpoint does not fit the avatar that the block builds."""
    return refusing(folder / CHECKPOINT, AVATAR, REMEDY)
