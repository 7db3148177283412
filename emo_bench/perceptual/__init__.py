"""Learned perceptual distances as torch modules: for metrics and, differentiable, for training losses."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emo_bench.perceptual.distance import DISTANCES, PerceptualDistance, missing_assets, perceptual_loss

__all__ = ["DISTANCES", "PerceptualDistance", "missing_assets", "perceptual_loss"]


def __getattr__(name: str) -> Any:
    """Import torch only when a distance is asked for."""
    if name in __all__:
        from emo_bench.perceptual import distance

        return getattr(distance, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
