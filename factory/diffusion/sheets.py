"""Sheets to look at: pairs of a bank, reconstructions, and edits of held-out people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.files import replacing
from emo_bench.methods.pix2pix_models import PORTRAITS_SETTINGS
from factory.clip.evaluation import aligned_video_heads
from factory.diffusion.autoencoder import reconstructed
from factory.diffusion.bank import Bank
from factory.diffusion.pipeline import edited

INSTRUCTIONS = (
    "make the hair red", "give him a beard", "make them old", "make them smile", "make the clothes green",
    "turn them into a marble statue", "as an oil painting", "turn them into a bronze statue", "a comic",
    "leave it as it is",
)  # fmt: skip

Pictures = NDArray[np.uint8]


def held_out_people(bank: Bank, count: int) -> Pictures:
    """Return a photo of each of ``count`` held-out people, aligned and captured in turn, uint8 ``[n, S, S, 3]``."""
    firsts = [n for n, row in enumerate(bank.rows) if bank.held_out[n] and not row.kind]
    people = sorted({bank.rows[n].person for n in firsts})[:count]
    chosen = [
        n
        for k, person in enumerate(people)
        for n in firsts
        if bank.rows[n].person == person and bank.rows[n].shot == k % 2
    ]
    return bank.pictures(np.array(chosen))


def frames_of(videos: Sequence[Path], count: int, size_px: int) -> dict[str, Pictures]:
    """Return aligned heads of videos by the videos' names, uint8 ``[n, S, S, 3]`` each."""
    return {video.name: aligned_video_heads(video, count, size_px) for video in videos}


def reconstruction_sheet(path: Path, vae: Any, pictures: Pictures) -> None:
    """Write pictures above what the autoencoder makes of them."""
    write_sheet(path, np.stack((pictures, reconstructed(vae, pictures))), zoom=2)


def bank_sheet(path: Path, bank: Bank, shots: int) -> None:
    """Write one row per shot: its first picture and what was made of it."""
    firsts = [number for number, row in enumerate(bank.rows) if not row.kind]
    chosen = [firsts[int(k)] for k in np.linspace(0, len(firsts) - 1, min(shots, len(firsts)))]
    ends = dict(zip(firsts, [*firsts[1:], len(bank)], strict=True))
    width = max(ends[first] - first for first in chosen)
    rows = [bank.pictures(np.minimum(np.arange(first, first + width), ends[first] - 1)) for first in chosen]
    write_sheet(path, np.stack(rows))


def edit_sheet(
    path: Path,
    pipeline: Any,
    people: Pictures,
    texts: Sequence[str] = INSTRUCTIONS,
    scales: tuple[float, float] = (PORTRAITS_SETTINGS.text_scale, PORTRAITS_SETTINGS.image_scale),
    steps: int = PORTRAITS_SETTINGS.steps,
) -> None:
    """Write one row per person: the source and its edit by each text; ``scales`` are those of text and image."""
    rows = []
    for one in people:
        made = edited(pipeline, np.repeat(one[None], len(texts), axis=0), texts, steps, *scales)
        rows.append(np.concatenate((one[None], made)))
    write_sheet(path, np.stack(rows))


def write_sheet(path: Path, pictures: Pictures, zoom: int = 1) -> None:
    """Write pictures uint8 ``[R, C, S, S, 3]`` as one picture of R rows, PNG or JPEG by the path's suffix."""
    from PIL import Image

    rows, columns, side = pictures.shape[:3]
    sheet = pictures.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    image = Image.fromarray(np.ascontiguousarray(sheet))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        large = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
        large.save(temporary, "jpeg" if path.suffix == ".jpg" else "png", quality=85)
