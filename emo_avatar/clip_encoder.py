"""A frozen CLIP image tower that lets gradients through to its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emo_bench.metrics.clip_model import ClipSource


class ClipEncoder(nn.Module):
    """Features of pictures by a CLIP found with ``emo_bench.metrics.clip_model.find_clip``; frozen, fp32.

    ``size_px`` is the side of the pictures that it takes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, source: ClipSource, device: str) -> None:
        super().__init__()
        import open_clip

        local = source.architecture.startswith("local-dir:")
        self._model = open_clip.create_model(
            source.architecture,
            pretrained=None if local else str(source.weights),
            device=device,
            weights_only=local,
            require_pretrained=True,
        )
        self._model.eval().requires_grad_(False)
        visual = self._model.visual
        self.size_px = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
        for name, key in (("mean", "mean"), ("deviation", "std")):
            values = torch.tensor(visual.preprocess_cfg[key], device=device).view(1, 3, 1, 1)
            self.register_buffer(name, values)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode ``[B, 3, size_px, size_px]`` in about [-1, 1] into features ``[B, D]``, not normalised."""
        unit = (pictures.float().clamp(-1.0, 1.0) + 1.0) / 2.0
        features: Tensor = self._model.encode_image((unit - self.mean) / self.deviation)
        return features
