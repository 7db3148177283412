"""The style of an edit: a built-in style, a style file of the user, the user's own picture, or an instruction."""

from __future__ import annotations

from pathlib import Path

from emo_bench.errors import UserError, shortened
from emo_bench.instructions.captions import captions_of
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.style_names import INSTRUCTION_PREFIX, REFERENCE_PREFIX, name_of
from protocols.styles import DEFAULT_STYLE, load_style

INSTRUCTION_EDITOR = "instruct-pix2pix"
LONGEST_INSTRUCTION, LONGEST_TITLE = 300, 60


def named_style(name: str) -> EditStyle:
    """Return the style of a name, or of the TOML file at a path.

    Raises:
        UserError: there is no such style, or its file is not valid.
    """
    return EditStyle(**load_style(name).model_dump())


def choose_style(
    name: str | None = None,
    reference: Path | None = None,
    prompt: str | None = None,
    source_prompt: str | None = None,
    instruction: str | None = None,
) -> EditStyle:
    """Return the style that a user asks for: one of a name, a reference and an instruction, or the default style.

    Args:
        name: name or TOML file of a style.
        reference: the user's own edit of the reference frame.
        prompt, source_prompt: captions of the video after and before an edit by ``reference`` or ``instruction``.
        instruction: the edit in words, for editor ``instruct-pix2pix``; of known kinds it needs no captions.

    Raises:
        UserError: the arguments do not go together, or there is no such style.
    """
    asked = {"--style": name, "--reference": reference, "--instruction": instruction}
    given = [option for option, value in asked.items() if value is not None]
    if len(given) > 1:
        only = "not both" if len(given) == 2 else "only one of them"
        raise UserError(f"give {' or '.join(given)}, {only}")
    if reference is not None:
        return _style_of_reference(reference, prompt, source_prompt)
    if instruction is not None:
        return _style_of_instruction(instruction, prompt, source_prompt)
    if prompt or source_prompt:
        raise UserError("--prompt and --source-prompt go with --reference or --instruction; a style has its own")
    return named_style(name or DEFAULT_STYLE)


def _style_of_reference(reference: Path, prompt: str | None, source_prompt: str | None) -> EditStyle:
    if not prompt or not source_prompt:
        raise UserError(
            '--reference needs captions of the edit: --source-prompt "a photo of a man" --prompt "a clay bust of a man"'
        )
    settings = {"image": str(reference)}
    described = EditStyle("", source_prompt, prompt, prompt, "file", settings)
    own_name = name_of(reference.stem, described, prefix=REFERENCE_PREFIX, longest=40)
    return EditStyle(own_name, source_prompt, prompt, prompt, "file", settings, title=reference.stem)


def _style_of_instruction(instruction: str, prompt: str | None, source_prompt: str | None) -> EditStyle:
    words = " ".join(instruction.split())
    if not words:
        raise UserError('--instruction is empty: give the edit in words, such as "turn her into a marble statue"')
    if len(words) > LONGEST_INSTRUCTION:
        raise UserError(
            f"--instruction has {len(words)} characters, at most {LONGEST_INSTRUCTION} are taken: shorten it"
        )
    if bool(prompt) != bool(source_prompt):
        raise UserError("give both --source-prompt and --prompt with --instruction, or none of them")
    if prompt and source_prompt:
        before, after = source_prompt, prompt
    else:
        found = captions_of(words)
        if found is None:
            raise UserError(
                f"there are no known captions for the instruction {shortened(repr(words), 80)}: add what the video "
                'shows before and after, such as --source-prompt "a photo of a man" --prompt "a photo of a sad man"; '
                'one change in English such as "make her hair red" needs none (docs/editing.md has the kinds)'
            )
        before, after = found.before, found.after
    described = EditStyle("", before, after, words, INSTRUCTION_EDITOR)
    name = name_of(words, described, prefix=INSTRUCTION_PREFIX, longest=40)
    return EditStyle(name, before, after, words, INSTRUCTION_EDITOR, title=shortened(words, LONGEST_TITLE))
