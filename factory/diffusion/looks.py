"""Other looks of one traced frame: hair, clothes, skin, wall and light get other colours without another trace."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from factory.studio.raytrace import Light, to_srgb_u8
from factory.studio.scene import Person, Pose

LAYERS = ("skin", "hair", "brows", "beard", "clothes", "other")
CLOTH_LEVEL = 0.42
"""Median brightness, before its colour, of cloth that is dyed, in linear light."""

Colour = tuple[float, float, float]
Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the scene is first turned by ``rotation`` ``[3, 3]``."""

    rotation: NDArray[np.float32]
    focal_px: float
    center_px: tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """One traced frame: linear light of each layer ``[6, S, S, 3]``, coverage ``[S, S]`` and the wall ``[S, S, 3]``."""

    layers: Plane
    coverage: Plane
    wall: Plane

    def share(self, name: str) -> float:
        """Return the share of the picture in which a layer is seen."""
        return float((self.layers[LAYERS.index(name)].mean(axis=-1) > 1e-3).mean())


@dataclass(frozen=True)
class Look:
    """Changes of colour to a frame.

    Attributes:
        gains: linear factor of a layer, by the layer's name.
        cloth: a colour for the clothes, instead of theirs; their folds and shading stay.
        wall: a plain linear colour for the wall.
        light: linear factor of everything, as from a lamp of another colour or power.
    """

    gains: dict[str, Colour] = field(default_factory=dict)
    cloth: Colour | None = None
    wall: Colour | None = None
    light: Colour = (1.0, 1.0, 1.0)


def trace(person: Person, pose: Pose, camera: Camera, light: Light, wall: Plane) -> Frame:
    """Trace a person before a wall ``[S, S, 3]``."""
    vertices, normals, face_uv = person.posed(pose)
    layers, coverage = person.tracer.render_layers(
        vertices @ camera.rotation.T, normals @ camera.rotation.T, face_uv, light, camera.focal_px, camera.center_px,
        wall.shape[0], [LAYERS.index(role) for role in person.roles],
    )  # fmt: skip
    return Frame(layers, coverage, wall)


def compose(frame: Frame, look: Look | None = None) -> Picture:
    """Return the picture of a frame, uint8 ``[S, S, 3]``; without a look it is that of the studio's renderer."""
    look = look or Look()
    linear = (1.0 - frame.coverage[..., None]) * (frame.wall if look.wall is None else np.array(look.wall))
    for name, layer in zip(LAYERS, frame.layers, strict=True):
        shown = layer * np.array(look.gains.get(name, (1.0, 1.0, 1.0)))
        linear = linear + (dyed(layer, look.cloth) if name == "clothes" and look.cloth is not None else shown)
    return to_srgb_u8(linear * np.array(look.light))


def dyed(layer: Plane, colour: Colour) -> NDArray[np.float64]:
    """Give a layer of cloth ``[S, S, 3]`` one colour; brightness from texture and light stays, evened to one level."""
    level = layer.mean(axis=-1)
    seen = level[level > 1e-3]
    gain = float(np.clip(CLOTH_LEVEL / np.median(seen), 0.7, 8.0)) if len(seen) else 1.0
    return np.asarray(gain * level[..., None] * np.array(colour), dtype=np.float64)
