"""What the two trivial methods share: the profiles, which are resolutions, and the one setting."""

from __future__ import annotations

from collections.abc import Mapping

from emo_bench.errors import UserError
from emo_bench.method import Workspace

RESOLUTIONS_PX: Mapping[str, int] = {"smoke": 64, "cpu": 128, "paper": 512}


def resolution_px(name: str, workspace: Workspace) -> int:
    """The profile's resolution, or the one that ``--set resolution_px=N`` asks for.

    Raises:
        UserError: another setting, another profile, or a resolution outside 16 to 2048.
    """
    settings = dict(workspace.settings)
    text = settings.pop("resolution_px", None)
    if settings:
        raise UserError(f"{name} has no setting {next(iter(settings))!r}; its settings: resolution_px")
    if workspace.profile not in RESOLUTIONS_PX:
        raise UserError(
            f"{name} has no profile {workspace.profile!r}; its profiles: {', '.join(RESOLUTIONS_PX)}"
        )
    if text is None:
        return RESOLUTIONS_PX[workspace.profile]
    if not text.isdecimal() or not 16 <= int(text) <= 2048:
        raise UserError(f"--set resolution_px={text}: it must be a whole number from 16 to 2048")
    return int(text)
