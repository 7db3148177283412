"""The edits of a video editor: each is a run of its own, under the editing protocol."""

from __future__ import annotations

import dataclasses

from emo_bench.errors import SettingError, UserError
from emo_bench.methods.interface import Method
from emo_bench.runs.plan import EditRequest, Plan, RunRequest, plan_run
from emo_bench.runs.style_names import require_distinct

FILE_EDITOR = "file"


def plan_clip_edits(request: RunRequest, cls: type[Method]) -> list[Plan]:
    """Return one plan for each edit; every choice is checked, and nothing is written.

    Args:
        request: the request, with the edits.
        cls: the method class of the video editor.

    Raises:
        UserError: no edit is wanted, or an option or a style does not suit a video editor.
    """
    name = cls.info.name
    if not request.edits:
        raise UserError(f"method {name} edits videos and does nothing else: leave out --skip-edit")
    for wanted in request.edits:
        _require_suitable(name, wanted)
    require_distinct([wanted.style for wanted in request.edits])
    alone = dataclasses.replace(request, edits=())
    return [plan_run(alone, cls=cls, style=wanted.style) for wanted in request.edits]


def _require_suitable(name: str, wanted: EditRequest) -> None:
    for key, value in wanted.settings.items():
        raise SettingError(
            f"--set edit.{key}: method {name} has no fit, so its settings have no prefix: --set {key}={value}"
        )
    if wanted.style.editor == FILE_EDITOR:
        raise UserError(
            f"method {name} edits every frame itself and cannot use an edited picture: give --style or --instruction "
            "instead of --reference"
        )
