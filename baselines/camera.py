"""The pinhole camera of a method's pictures."""

from __future__ import annotations

from dataclasses import dataclass

from emo_bench.actors.track import Track


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at the method's resolution, in pixels."""

    focal_px: float
    center_px: tuple[float, float]


def camera_at(track: Track, size_px: int) -> Camera:
    """Return a track's camera at another size."""
    scale = size_px / track.size_px
    return Camera(track.focal_px * scale, (track.center_px[0] * scale, track.center_px[1] * scale))
