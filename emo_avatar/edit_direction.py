"""The direction of an edit in CLIP: every frame changes as the reference did (StyleGAN-NADA, with two pictures)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from emo_avatar.patch_contrast import Encoder

ENCODE_BATCH = 16


@dataclass(frozen=True)
class EditDirection:
    """The embeddings before the edit, and the change from the reference's frame to the reference.

    Attributes:
        encoder, size_px: CLIP's image encoder and the side of its input.
        before: ``[F, D]``, length 1.
        change: ``[1, D]``.
    """

    encoder: Encoder
    size_px: int
    before: Tensor
    change: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, reference: Tensor, unedited: Tensor, encoder: Encoder, size_px: int) -> EditDirection:
        """Embed ``reference [1, 3, R, R]``, the edit of frame 0, and the frames before it, ``[F, 3, R, R]``."""
        before = torch.cat([embedded(part, encoder, size_px) for part in unedited.split(ENCODE_BATCH)])
        return cls(encoder, size_px, before, embedded(reference, encoder, size_px) - before[:1])

    def loss(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return 1 minus the mean cosine of the changes of ``images [B, 3, R, R]``, the frames ``rows [B]``; scalar."""
        change = embedded(images, self.encoder, self.size_px) - self.before[rows]
        return (1.0 - F.cosine_similarity(change, self.change)).mean()


def embedded(images: Tensor, encoder: Encoder, size_px: int) -> Tensor:
    """Embed ``[B, 3, R, R]`` as the CLIP metrics do, ``[B, D]`` of length 1, with gradients."""
    small = F.interpolate(images, (size_px, size_px), mode="bicubic", align_corners=False)
    return F.normalize(encoder(small), dim=1)
