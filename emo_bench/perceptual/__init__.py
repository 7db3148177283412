"""Learned perceptual distances as torch modules: for metrics and, because they are differentiable, for training."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from emo_bench.perceptual.distance import DISTANCES, PerceptualDistance, missing_assets, perceptual_loss

__all__ = ["DISTANCES", "PerceptualDistance", "missing_assets", "perceptual_loss"]

# Torch is imported only when a distance is used.
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"distance": __all__})
