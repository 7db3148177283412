"""Masks from any program: the meaning of a picture as a mask is derived from its values, or the picture is refused.

Supported are black and white (0/1 or 0/255), soft masks (values from one half are the person), pictures in black and
one colour, and the alpha of a person without background. All masks of a series must be of one kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.pictures.reading import FrameU8, Layers, read_layers
from emo_bench.video.frame_source import FrameSource, open_frames

LevelsU8 = NDArray[np.uint8]
# Pixels with at least this level are the person.
HALF = 128
# Colour noise of a video or a JPEG: a picture is grey if its channels differ by at most this much, except in this
# share.
GREY_SPREAD, GREY_SHARE = 32, 0.01
# Levels this near to black or white count as black or white; levels between them are an edge, or show that it is no
# mask.
NEAR_BLACK, NEAR_WHITE = 32, 223
EDGE_SHARE = 0.05
# If more than this share of the nonblack pixels is between: a grey photo or a depth map, not the edges of a mask.
MIDDLE_SHARE = 0.5
SOFT_LEVELS = 9
LABEL_SHARE = 0.2
SHOWN = 12


@dataclass(frozen=True, eq=False)
class Seen:
    """An interpreted mask: its kind in words, and uint8 ``[H, W]`` levels, inside from ``HALF``."""

    kind: str
    levels: LevelsU8


class NoMask(Exception):
    """The picture is not a mask; the message says what it contains and continues after the file's name."""


# An empty mask looks the same in all kinds.
EMPTY = "empty"
ZERO_ONE, SOFT, COLOUR, ALPHA, LABELS = ("of 0 and 1", "of 0 to 255", "in the colour", "in the alpha", "of labels")


def open_masks(path: Path, labels: Sequence[int] = (), *, soft: bool = False) -> FrameSource:
    """Return masks of a folder of pictures, of one picture, or of a video, as frames.

    Args:
        path: their path.
        labels: the person's values in label maps (palette numbers, if the pictures have a palette); empty if the
            pictures are not label maps.
        soft: whether the levels between black and white are used as they are; only a note depends on it.

    Returns:
        A source of uint8 ``[H, W, 3]`` frames with equal channels: levels from ``HALF`` are the person. Reading it
            raises a UserError if a picture is not a mask, or is a mask of another kind than the ones before.

    Raises:
        UserError: ``path`` is none of these.
    """
    source = open_frames(path)
    wanted = frozenset(labels)
    notes = source.notes
    if wanted and not source.files:
        notes.append(f"labels of {source.title}: only a lossless video of full range keeps them exactly")

    def levels() -> Iterator[FrameU8]:
        kind, first = EMPTY, ""
        for name, layers in _layers(source):
            try:
                seen = _by_labels(layers, wanted) if wanted else understood(layers, cut_out=kind == ALPHA)
            except NoMask as error:
                raise UserError(f"{name} {error}") from error
            if EMPTY not in (kind, seen.kind) and kind != seen.kind:
                raise UserError(
                    f"{name} is a mask {seen.kind}, but {first} is a mask {kind}: "
                    "save all masks in the same way, with 0 and 255"
                )
            if kind == EMPTY:
                kind, first = seen.kind, name
            _remark(notes, source.title, seen, soft)
            yield np.repeat(seen.levels[..., None], 3, axis=2)

    return FrameSource(source.title, source.names, levels, source.by_name, source.files, notes=notes)


def _remark(notes: list[str], title: str, seen: Seen, soft: bool) -> None:
    """Add a note once about each decision made for the user."""
    remarks = []
    if seen.kind == ALPHA:
        remarks.append(f"masks of {title}: the alpha of the pictures is the mask")
    if ((seen.levels > 0) & (seen.levels < 255)).any():
        use = "the reference is blended by them" if soft else f"{HALF} and more of 255 is the person"
        remarks.append(f"masks of {title} are soft: {use}")
    notes.extend(remark for remark in remarks if remark not in notes)


def _layers(source: FrameSource) -> Iterator[tuple[str, Layers]]:
    if source.files:
        yield from ((str(file), read_layers(file)) for file in source.files)
    else:
        for name, frame in zip(source.names, source.open(), strict=False):
            yield f"frame {name} of {source.title}", Layers(frame, None, None)


def understood(layers: Layers, *, cut_out: bool = False) -> Seen:
    """Interpret a picture as a mask; ``cut_out``: in the earlier pictures, the alpha was the mask.

    Raises:
        NoMask: it is not a mask, or it could be two different masks.
    """
    alpha = layers.alpha
    if alpha is None or (alpha == 255).all():
        if alpha is not None and cut_out:
            return Seen(ALPHA, alpha)
        return _from_colour(layers.colour)
    try:
        by_alpha = Seen(ALPHA, _from_levels(alpha).levels) if alpha.any() else Seen(EMPTY, alpha)
    except NoMask as error:
        raise NoMask(f"is transparent, but its alpha {error}") from error
    visible = alpha > 0
    if by_alpha.kind == ALPHA and _is_two_valued(layers.colour[visible]):
        by_colour = _from_colour(layers.colour)
        if ((by_colour.levels >= HALF) != (by_alpha.levels >= HALF)).any():
            raise NoMask("has an alpha and black-and-white colours that are different masks: save only one of them")
    return by_alpha


def _is_two_valued(colours: NDArray[np.uint8]) -> bool:
    """Return whether the visible colours ``[N, 3]`` are both black and white, so that they could be a mask too."""
    ends = [bool((colours == level).all(axis=1).any()) for level in (0, 255)]
    return all(ends) and bool(((colours == 0).all(axis=1) | (colours == 255).all(axis=1)).all())


def _from_colour(colour: FrameU8) -> Seen:
    spread = colour.max(axis=2).astype(np.int16) - colour.min(axis=2)
    if (spread > GREY_SPREAD).mean() <= GREY_SHARE:
        # Equal channels: any of them is the level. Nearly equal ones: the middle one.
        return _from_levels(np.sort(colour, axis=2)[..., 1])
    colours, where = np.unique(colour.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) == 2 and not colours[0].any():
        # A different colour in another mask is a different label.
        return Seen(f"{COLOUR} {_named(colours[1])}", (where.reshape(colour.shape[:2]) * 255).astype(np.uint8))
    shown = ", ".join(map(_named, colours[:SHOWN]))
    what = f"the colours {shown}" if len(colours) <= SHOWN else f"{len(colours):,} colours"
    raise NoMask(
        f"is not a mask, it shows {what}: give masks of 0 and 255, or name the person's labels with --mask-labels"
    )


def _named(colour: LevelsU8) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _from_levels(levels: LevelsU8) -> Seen:
    """Interpret grey levels ``[H, W]`` as a mask."""
    counts = np.bincount(levels.ravel(), minlength=256)
    values = np.flatnonzero(counts)
    top = int(values[-1])
    if top == 0:
        return Seen(EMPTY, levels)
    if top == 1:
        return Seen(ZERO_ONE, levels * np.uint8(255))
    advice = "save masks of 0 and 255, or name the person's labels with --mask-labels"
    if top < HALF:
        raise NoMask(f"is not a mask of 0/1 or 0/255, it holds {_listed(values)} (a label map?): {advice}")
    share = counts / levels.size
    between = values[(values > NEAR_BLACK) & (values < NEAR_WHITE)]
    low = share[1 : NEAR_BLACK + 1].sum()
    two = len(values) == 1 or (len(values) == 2 and values[0] == 0)
    if two and len(values) == 2 and top < NEAR_WHITE:
        return Seen(f"of 0 and {top}", levels)
    has_edges = share[between].sum() <= EDGE_SHARE
    looks_labelled = len(between) < SOFT_LEVELS and (low > LABEL_SHARE or not has_edges)
    middle = share[NEAR_BLACK + 1 : top * NEAR_WHITE // 255].sum()
    looks_filmed = not has_edges and middle > MIDDLE_SHARE * share[NEAR_BLACK + 1 :].sum()
    if (two and (top == 255 or len(values) == 2)) or not (looks_labelled or looks_filmed or len(values) == 1):
        return Seen(SOFT, levels)
    guess = "a photo, a depth map" if looks_filmed and not looks_labelled else "a label map, a trimap"
    raise NoMask(f"is not a mask of 0/1 or 0/255, it holds {_listed(values)} ({guess}?): {advice}")


def _by_labels(layers: Layers, wanted: frozenset[int]) -> Seen:
    """Return the union of the wanted labels; a picture without palette must be grey."""
    if layers.lossy:
        raise NoMask("is a JPEG or a lossy WebP, which keep no labels exactly: save label maps as PNG")
    values = layers.index
    if values is None:
        if (layers.colour != layers.colour[..., :1]).any():
            raise NoMask("is a colour picture, not a label map: give grey pictures, or pictures with a palette")
        values = layers.colour[..., 0]
    inside = np.isin(values, sorted(wanted))
    if not inside.any():
        named = ", ".join(map(str, sorted(wanted)))
        raise NoMask(f"holds {_listed(np.unique(values))} and none of the labels {named}: the mask would be empty")
    return Seen(LABELS, (inside * 255).astype(np.uint8))


def _listed(values: NDArray[np.generic]) -> str:
    if len(values) == 1:
        return f"the value {values[0]} alone"
    if len(values) <= SHOWN:
        return f"the values {', '.join(str(value) for value in values)}"
    return f"{len(values)} values from {values[0]} to {values[-1]}"
