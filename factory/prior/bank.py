"""The image bank on which a prior is trained: a ``.npy`` file of aligned heads, read on demand."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from emo_bench.errors import UserError
from emo_bench.untrusted.npy import map_npy, read_npz


@dataclass(frozen=True)
class ImageBank:
    """``images_u8`` [N, S, S, 3], memory-mapped; they are downscaled by ``factor`` to the training resolution.

    ``training`` and ``held_out`` are the rows of the training images and of identities that are held out from training.
    ``recipes`` [N, D] and ``codes`` [N, K], float32, describe what each picture was rendered from, as numbers and as
    independent standard normals (`factory.studio.recipe`), if the bank has them.
    """

    path: Path
    images_u8: NDArray[np.uint8]
    factor: int
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    recipes: NDArray[np.float32] | None = None
    codes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """The number of training images."""
        return len(self.training)

    def images(self, rows: NDArray[np.int64], device: str) -> Tensor:
        """Return the images of rows of the file, ``[B, 3, R, R]`` float32 in [-1, 1]."""
        chosen = torch.from_numpy(self.images_u8[rows]).to(device)
        x = chosen.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return F.avg_pool2d(x, self.factor) if self.factor > 1 else x

    def batch(self, indices: Tensor, flips: Tensor, device: str) -> Tensor:
        """Get training images ``[B, 3, R, R]``, each index below ``len``; ``flips`` [B] bool mirrors some of them."""
        x = self.images(self.training[indices.numpy()], device)
        return torch.where(flips.to(device)[:, None, None, None], x.flip(3), x)

    def recipes_of(self, indices: Tensor, device: str) -> Tensor:
        """Return recipes ``[B, D]`` of training images, each index below ``len``."""
        assert self.recipes is not None
        return torch.from_numpy(self.recipes[self.training[indices.numpy()]]).to(device)

    def sha256(self) -> str:
        """Return the hash of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_bank(path: Path, resolution: int) -> ImageBank:
    """Map the bank for training at ``resolution`` px.

    Rows with a true ``held_out`` in the ``.parquet`` next to it are excluded from training. Raises UserError if the
    file is missing, is not uint8 [N, S, S, 3] or is nearly empty, if S is not a multiple of the resolution, or if the
    files next to it describe another number of images.
    """
    images = map_npy(path, "bank of images")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise UserError(f"the image bank {path} is {images.dtype} {images.shape}, not uint8 [N, S, S, 3].")
    if len(images) < 2:
        raise UserError(f"the image bank {path} holds only {len(images)} images: give a bank of some thousands.")
    if images.shape[1] % resolution:
        raise UserError(f"the image bank's {images.shape[1]} px are not a multiple of {resolution} px.")
    held_out = _held_out(path, len(images))
    rows = np.arange(len(images), dtype=np.int64)
    recipes, codes = _recipes(path, len(images))
    return ImageBank(path, images, images.shape[1] // resolution, rows[~held_out], rows[held_out], recipes, codes)


def _recipes(path: Path, count: int) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Read recipes and codes from the ``.recipe.npz`` next to the bank; None if there is none."""
    file = path.with_suffix(".recipe.npz")
    if not file.exists():
        return None, None
    content = read_npz(file, ("recipe", "code"), "bank's recipes")
    if len(content) != 2 or any(array.ndim != 2 or array.dtype.kind != "f" for array in content.values()):
        raise UserError(f"{file} does not hold the recipes and codes of a bank.")
    recipes, codes = content["recipe"], content["code"]
    if len(recipes) != count or len(codes) != count:
        raise UserError(f"{file} describes {len(recipes)} images, but the bank has {count}.")
    return recipes, codes


def _held_out(path: Path, count: int) -> NDArray[np.bool_]:
    """Return which rows are held out; none if there is no table or it has no such column."""
    table_path = path.with_suffix(".parquet")
    if not table_path.exists():
        return np.zeros(count, dtype=np.bool_)
    import pandas as pd

    table = pd.read_parquet(table_path)
    if len(table) != count:
        raise UserError(f"{table_path} describes {len(table)} images, but the bank has {count}.")
    if "held_out" not in table:
        return np.zeros(count, dtype=np.bool_)
    held_out: NDArray[np.bool_] = table["held_out"].to_numpy(dtype=np.bool_)
    if (~held_out).sum() < 2:
        raise UserError(f"{table_path} holds out all but {(~held_out).sum()} images: nothing is left to train on.")
    return held_out
