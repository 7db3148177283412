"""The part of a protocol that says who drives whom: the transfer of motion, and the fixed pairs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from protocols.frame_lists import checked_list

Actor = Annotated[str, Field(min_length=1, max_length=60)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pair(_Model):
    """A subject, whose avatar is scored, and the actor who drives it in some frames of his or her video.

    ``truth_sha256`` is that of the studio's clip of the subject in these frames; None if nobody rendered it.
    """

    subject: Actor
    driver: Actor
    frames: Annotated[str, BeforeValidator(checked_list)]
    truth_sha256: Sha256 | None = None

    @model_serializer(mode="wrap")
    def _fields(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the clip if there is none: protocols that are older than it keep the hash that they had."""
        fields: dict[str, Any] = whole(self)
        return {key: value for key, value in fields.items() if value is not None or key != "truth_sha256"}


class Driving(_Model):
    """How avatars are driven by other people.

    Attributes:
        transfer: the rule by which the driver's head pose becomes the subject's; docs/protocols.md has the formulas.
        frames: how many of the driver's held-out frames drive, the first ones, if the pair is not listed.
        pairs: the pairs of a run without a driver.
    """

    transfer: Literal["relative", "absolute"]
    frames: int = Field(ge=3)
    pairs: tuple[Pair, ...] = ()

    @model_validator(mode="after")
    def _pairs_differ(self) -> Self:
        seen = set()
        for pair in self.pairs:
            if pair.subject == pair.driver:
                raise ValueError(f"pair {pair.subject}, {pair.driver}: a pair is two people")
            if (pair.subject, pair.driver) in seen:
                raise ValueError(f"pair {pair.subject}, {pair.driver} is listed twice")
            seen.add((pair.subject, pair.driver))
        return self

    def drivers_of(self, subject: str) -> tuple[str, ...]:
        """Return the drivers of the pairs with this subject, in the file's order."""
        return tuple(pair.driver for pair in self.pairs if pair.subject == subject)

    def pair(self, subject: str, driver: str) -> Pair | None:
        """Return the listed pair of these two actors; None if it is not listed."""
        found = (pair for pair in self.pairs if (pair.subject, pair.driver) == (subject, driver))
        return next(found, None)
