"""The common parts of the two trivial methods: the profiles, which are resolutions, and the only setting."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from emo_bench.errors import UserError
from emo_bench.methods.interface import LEAST_PX, Workspace, gpu_resolution_px
from emo_bench.methods.settings import MethodSettings, resolve

# None is the capture's resolution.
RESOLUTIONS_PX: Mapping[str, int | None] = {"smoke": 64, "cpu": 128, "gpu": None, "paper": 512}


class TrivialSettings(MethodSettings):
    """The only setting."""

    resolution_px: int = Field(128, ge=LEAST_PX, le=2048)


def resolution_px(name: str, workspace: Workspace) -> int:
    """Return the profile's resolution, or the one from ``--set resolution_px=N``.

    Raises:
        UserError: another setting, another profile, or a resolution outside 32 to 2048.
    """
    if workspace.profile not in RESOLUTIONS_PX:
        raise UserError(f"{name} has no profile {workspace.profile!r}; its profiles: {', '.join(RESOLUTIONS_PX)}")
    side_px = RESOLUTIONS_PX[workspace.profile] or gpu_resolution_px(workspace.capture_px)
    return resolve(TrivialSettings, {"resolution_px": side_px}, workspace.settings, name=name).resolution_px
