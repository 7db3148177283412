"""Style files: a name, captions, an instruction, and the editor that makes the reference picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from emo_bench.errors import UserError, unknown_name
from emo_bench.untrusted.schema import read_toml_as

FOLDER = Path(__file__).parent / "styles"
DEFAULT_STYLE = "bronze-statue"


class StyleFile(BaseModel):
    """The content of a style file; methods get it as an ``EditStyle``.

    Attributes:
        name: the name of the style; by default the name of its file.
        title: the name in tables.
        source_caption, target_caption: what the frames show before and after; CLIP-D compares with their difference.
        instruction: the instruction for editors that take one.
        editor: the editor of the reference picture, a name of ``emo_bench.methods.reference_editors.EDITORS``.
        editor_settings: the settings of the editor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    title: str
    source_caption: str = Field(min_length=1)
    target_caption: str = Field(min_length=1)
    instruction: str = Field(min_length=1)
    editor: str
    editor_settings: dict[str, Any] = {}


def list_styles() -> list[StyleFile]:
    """Return the styles that come with the toolkit, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.toml"))]


def load_style(name: str) -> StyleFile:
    """Return a style by name, or from the TOML file at a path.

    Raises:
        UserError: there is no such style, or its file is not valid.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if name.endswith(".toml") and not path.is_file():
        raise UserError(f"{path} is not a file; name a style of your own by its TOML file")
    if not path.is_file():
        raise unknown_name("style", name, sorted(found.stem for found in FOLDER.glob("*.toml")))
    return _read(path)


def _read(path: Path) -> StyleFile:
    return read_toml_as(StyleFile, path, "style", name=path.stem)
