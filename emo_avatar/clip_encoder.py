"""A frozen CLIP image tower that lets gradients through to its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emo_bench.clip.model import ClipSource, load_towers
from emo_bench.errors import UserError


class ClipEncoder(nn.Module):
    """A CLIP image encoder from a model that ``emo_bench.clip.model.find_clip`` found; frozen, fp32.

    ``size_px`` is the side of its input pictures. Raises UserError if they are not square or the weights do not fit.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, source: ClipSource, device: str) -> None:
        super().__init__()
        towers = load_towers(source, device)
        self._model = towers.model.requires_grad_(False)
        if towers.size_px[0] != towers.size_px[1]:
            raise UserError(f"CLIP {source.name} takes pictures that are not square: it cannot look at patches")
        self.size_px = towers.size_px[0]
        for name, values in (("mean", towers.mean), ("deviation", towers.deviation)):
            self.register_buffer(name, torch.tensor(values, device=device).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode ``[B, 3, size_px, size_px]`` in about [-1, 1] into features ``[B, D]``, not normalised."""
        unit = (pictures.float().clamp(-1.0, 1.0) + 1.0) / 2.0
        features: Tensor = self._model.encode_image((unit - self.mean) / self.deviation)
        return features
