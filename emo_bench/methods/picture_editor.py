"""The interface of an editor of one picture, and of its settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from emo_bench.errors import UserError

Picture = np.ndarray


class EditorSettings(BaseModel):
    """Settings of an editor; an unknown field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceEditor(ABC):
    """An editor of pictures. :func:`open_editor` makes an object of a subclass."""

    settings_model: ClassVar[type[EditorSettings]]
    can_update: bool = False
    # Whether the editor changes the whole picture and not the person.
    only_restyles: ClassVar[bool] = False
    # Whether it draws the features of a face anew, although it should not change the person. The edit of an avatar
    # takes this back (emo_avatar.held_face).
    redraws_features: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def missing(cls, settings: Any) -> str | None:
        """Return what the editor lacks on this machine and how to get it, in one line, or None."""

    def __init__(self, settings: Any, device: str) -> None:
        self.settings = settings
        self.device = device

    def weights(self) -> dict[str, str]:
        """Return the SHA-256 of the weights that the user can exchange, by name; empty for an editor without such."""
        return {}

    def resolved(self) -> dict[str, Any]:
        """Return the settings with which these weights edit, as plain JSON without paths; empty without weights."""
        return {}

    @abstractmethod
    def edit(self, picture_u8: Picture, instruction: str, seed: int) -> Picture:
        """Edit ``uint8 [S, S, 3]`` RGB; the result has the same shape.

        Args:
            picture_u8: the frame.
            instruction: the edit, e.g. "turn him into a bronze statue"; only diffusion editors read it.
            seed: the seed of the noise.
        """

    def update(self, rendering_u8: Picture, recorded_u8: Picture, instruction: str, seed: int) -> Picture:
        """Edit a rendering further, guided by the recorded frame (the update step of Instruct-NeRF2NeRF).

        Args:
            rendering_u8, recorded_u8: ``uint8 [S, S, 3]`` RGB of one frame; the result has the same shape.
            instruction, seed: as for :meth:`edit`.

        Raises:
            UserError: this editor cannot (``can_update`` is False).
        """
        raise UserError("this editor edits a picture once; edits of renderings are by instruct-pix2pix")
