"""Accuracy of the small CLIP: zero-shot on held-out heads, held-out wordings and real videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_avatar.alignment import align_ffhq
from emo_bench.clip.model import ClipModel, find_clip
from emo_bench.errors import UserError
from emo_bench.progress import track_progress
from factory.clip import captions
from factory.clip.painters import paint
from factory.clip.styled_bank import StyledBank
from factory.clip.styles import NAMES, PHOTO
from factory.clip.wordings import FIRST, Wordings

SEXES = ("female", "male")
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """Zero-shot accuracy.

    Attributes:
        overall: share of pictures with the right class.
        balanced: mean of that share over the classes; the criteria use this value.
        count: number of pictures.
        by_class: share by class.
        confused: the most frequent wrong class for each class.
    """

    overall: float
    balanced: float
    count: int
    by_class: dict[str, float] = field(default_factory=dict)
    confused: dict[str, str] = field(default_factory=dict)


def evaluate(
    folder: Path, bank: StyledBank, videos: Sequence[Path], frames_per_video: int, words: Wordings = FIRST
) -> dict[str, Any]:
    """Measure the model in ``folder``: styles and attributes on the bank's held-out heads, styles on videos.

    Every caption has a wording that is held out from the training, whose words are ``words``. Attributes are measured
    on held-out photos. Faces in videos are found by MediaPipe, aligned like the bank and painted in every style.
    """
    model = ClipModel(find_clip(str(folder)))
    held_out = np.flatnonzero(bank.held_out)
    if not len(held_out):
        raise UserError(f"{bank.path} has no held-out identities, which the measurement needs")
    embeddings = model.of_frames(bank.images_u8[held_out])
    style = bank.style[held_out]
    photos = held_out[style == NAMES.index(PHOTO)]
    photo_embeddings = embeddings[style == NAMES.index(PHOTO)]
    seen = [bank.attributes[row] for row in photos]
    haired = np.array([one.hair_style != "bald" for one in seen], dtype=bool)
    colours = [one.hair_colour for one in seen]
    figures: dict[str, Any] = {
        "style": accuracy(embeddings, style_classes(model, words), [NAMES[i] for i in style]),
        "sex": accuracy(
            photo_embeddings,
            {sex: classifier(model, captions.held_out_sex_captions(sex, words)) for sex in SEXES},
            [one.sex for one in seen],
        ),
        "hair colour": accuracy(
            photo_embeddings[haired],
            {one: classifier(model, captions.held_out_hair_captions(one, words)) for one in captions.COLOURS},
            [colour for colour, has in zip(colours, haired, strict=True) if has],
        ),
        "smile": accuracy(
            photo_embeddings,
            {
                word: classifier(model, captions.held_out_smile_captions(smiling, words))
                for word, smiling in (("smiling", True), ("not smiling", False))
            },
            ["smiling" if one.smiling else "not smiling" for one in seen],
        ),
    }
    for video in videos:
        heads = aligned_video_heads(video, frames_per_video, bank.images_u8.shape[1])
        figures[f"style, {video.name}"] = video_style_accuracy(model, heads, words)
    return figures


def style_classes(model: ClipModel, words: Wordings = FIRST) -> dict[str, Rows]:
    """Return one unit vector per style, from wordings that are held out from training."""
    return {name: classifier(model, captions.held_out_style_captions(name, words)) for name in NAMES}


def classifier(model: ClipModel, wordings: Sequence[str]) -> Rows:
    """Return the mean direction ``[D]`` of captions, as in CLIP's prompt ensembles."""
    mean = mean_embedding(model.of_caption, wordings)
    return np.asarray(mean / np.linalg.norm(mean))


def mean_embedding(of_caption: Callable[[str], Any], wordings: Sequence[str]) -> Rows:
    """Return the mean embedding ``[D]`` of captions; ``of_caption`` gives that of one."""
    return np.asarray(np.mean([of_caption(wording) for wording in wordings], axis=0))


def accuracy(embeddings: Rows, classes: dict[str, Rows], truth: Sequence[str]) -> Accuracy:
    """Classify each of the embeddings ``[N, D]`` by the nearest direction, and count."""
    names = list(classes)
    chosen = (embeddings @ np.stack([classes[name] for name in names]).T).argmax(axis=1)
    right = np.array([names.index(one) for one in truth])
    by_class, confused = {}, {}
    for number, name in enumerate(names):
        rows = right == number
        if not rows.any():
            continue
        by_class[name] = float((chosen[rows] == number).mean())
        wrong = chosen[rows & (chosen != number)]
        if len(wrong):
            confused[name] = names[int(np.bincount(wrong).argmax())]
    overall = float((chosen == right).mean())
    return Accuracy(overall, float(np.mean(list(by_class.values()))), len(truth), by_class, confused)


def video_style_accuracy(model: ClipModel, heads: NDArray[np.uint8], words: Wordings = FIRST) -> Accuracy:
    """Measure the accuracy over all styles on aligned heads uint8 ``[N, S, S, 3]``, each painted in every style."""
    embeddings, truth = [], []
    with track_progress(len(NAMES), "portrait clip: styles on a video") as advance:
        for name in NAMES:
            embeddings.append(model.of_frames(paint(name, heads, range(len(heads)), 0)))
            truth += [name] * len(heads)
            advance()
    return accuracy(np.concatenate(embeddings), style_classes(model, words), truth)


def aligned_video_heads(video: Path, count: int, size_px: int) -> NDArray[np.uint8]:
    """Return heads of a video, evenly spaced, FFHQ-aligned, uint8 ``[N, S, S, 3]``, without frames that show no face.

    Raises UserError if the video cannot be read or shows no face.
    """
    from emo_bench.tracking.landmarks import Landmarker
    from emo_bench.video.reading import decode_video, probe_video

    info = probe_video(video)
    wanted = set(np.linspace(0, info.frames - 1, count).round().astype(int).tolist())
    heads = []
    with Landmarker() as landmarker:
        for number, frame in enumerate(decode_video(info)):
            if number not in wanted:
                continue
            found = landmarker.detect(frame)
            if found is not None:
                heads.append(align_ffhq(frame, found.landmarks68, size_px))
    if not heads:
        raise UserError(f"{video} shows no face")
    return np.stack(heads)
