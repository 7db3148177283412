"""The part of a protocol that says from where else a person is seen: the cameras, and the clips with the truth."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocols.driving import Actor, Sha256


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Camera(_Model):
    """A camera that is turned about the head; docs/protocols.md says how.

    Attributes:
        name: its name in tables.
        yaw_deg: how much further the person appears to be turned towards image right.
        pitch_deg: how much further up the person appears to look.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+-]*$", max_length=20)]
    yaw_deg: float = Field(ge=-90, le=90)
    pitch_deg: float = Field(ge=-60, le=60)


class Viewing(_Model):
    """Other cameras than the one that filmed.

    Frame ``i`` of a video of T frames, seen by the camera at place ``c`` of the list, has the number ``c T + i``.

    Attributes:
        frames: how many held-out frames each camera sees, evenly spread.
        cameras: the cameras.
        truth_sha256: the studio's clip of each actor in these views, by name.
    """

    frames: int = Field(ge=1)
    cameras: tuple[Camera, ...] = Field(min_length=1)
    truth_sha256: dict[Actor, Sha256] = Field(min_length=1)

    @model_validator(mode="after")
    def _cameras_differ(self) -> Self:
        if len({camera.name for camera in self.cameras}) < len(self.cameras):
            raise ValueError("two cameras have the same name")
        return self

    def numbers(self, frames: tuple[int, ...], length: int) -> tuple[int, ...]:
        """Return the numbers of some frames of a video of ``length`` frames in the views of all cameras, ascending."""
        return tuple(place * length + frame for place in range(len(self.cameras)) for frame in frames)
