"""The image bank that a prior is trained on: a ``.npy`` file of aligned heads, read as it is needed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from emo_bench.errors import UserError


@dataclass(frozen=True)
class ImageBank:
    """``images_u8`` [N, S, S, 3], memory-mapped; ``factor`` shrinks them to the training resolution."""

    path: Path
    images_u8: NDArray[np.uint8]
    factor: int

    def __len__(self) -> int:
        return len(self.images_u8)

    def batch(self, indices: Tensor, flips: Tensor, device: str) -> Tensor:
        """Images ``[B, 3, R, R]`` float32 in [-1, 1]; ``flips`` [B] bool mirrors some of them."""
        chosen = torch.from_numpy(self.images_u8[indices.numpy()]).to(device)
        x = chosen.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        if self.factor > 1:
            x = F.avg_pool2d(x, self.factor)
        return torch.where(flips.to(device)[:, None, None, None], x.flip(3), x)

    def sha256(self) -> str:
        """Hash of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_bank(path: Path, resolution: int) -> ImageBank:
    """Map the bank for training at ``resolution`` px.

    Raises UserError when the file is missing, not uint8 [N, S, S, 3], nearly empty, or when S is not a
    multiple of the resolution.
    """
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the image bank {path}: {error}") from error
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1] != images.shape[2]
        or images.shape[3] != 3
    ):
        raise UserError(f"the image bank {path} is {images.dtype} {images.shape}, not uint8 [N, S, S, 3].")
    if len(images) < 2:
        raise UserError(f"the image bank {path} holds {len(images)} images: give it some thousands.")
    if images.shape[1] % resolution:
        raise UserError(f"the image bank's {images.shape[1]} px are not a multiple of {resolution} px.")
    return ImageBank(path, images, images.shape[1] // resolution)
