"""The style of an edit: a built-in style, a style file of the user, or a style from the user's own picture."""

from __future__ import annotations

from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.style_names import name_of
from protocols.styles import DEFAULT_STYLE, load_style


def named_style(name: str) -> EditStyle:
    """Return the style of a name, or of the TOML file at a path.

    Raises:
        UserError: there is no such style, or its file is not valid.
    """
    return EditStyle(**load_style(name).model_dump())


def choose_style(
    name: str | None = None, reference: Path | None = None, prompt: str | None = None, source_prompt: str | None = None
) -> EditStyle:
    """Return the style that a user asks for.

    Args:
        name: name or TOML file of a style; None is the default style.
        reference: the user's own edit of the reference frame, instead of a style.
        prompt, source_prompt: captions of the video after and before that edit.

    Raises:
        UserError: the arguments do not go together, or there is no such style.
    """
    if reference is None:
        if prompt or source_prompt:
            raise UserError("--prompt and --source-prompt go with --reference; a style has its own captions")
        return named_style(name or DEFAULT_STYLE)
    if name is not None:
        raise UserError("give --style or --reference, not both")
    if not prompt or not source_prompt:
        raise UserError(
            '--reference needs captions of the edit: --source-prompt "a photo of a man" --prompt "a clay bust of a man"'
        )
    settings = {"image": str(reference)}
    described = EditStyle("", source_prompt, prompt, prompt, "file", settings)
    own_name = name_of(reference.stem, described, prefix="own-", longest=40)
    return EditStyle(own_name, source_prompt, prompt, prompt, "file", settings, title=reference.stem)
