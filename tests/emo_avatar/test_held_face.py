"""The held face: colours of the style, features of the frame; nothing else of the picture changes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data, draw

from emo_avatar.face_structure import face_region
from emo_avatar.held_face import with_held_face

SIDE = 128
# On the face, at least this far from its border.
INSIDE = np.s_[44:84, 48:80]


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """The astronaut's face, uint8 [128, 128, 3]."""
    return data.astronaut()[40:168, 160:288].copy()


def marks() -> np.ndarray:
    """``[68, 2]``: an oval face around (64, 64), brows at y = 50, the base of the nose at 68, the chin at 92."""
    made = np.tile(np.array([64.0, 68.0]), (68, 1))
    turn = np.linspace(0, np.pi, 17)
    made[:17] = np.stack([64 - 26 * np.cos(turn), 58 + 34 * np.sin(turn)], axis=1)
    made[17:27] = np.stack([np.linspace(40, 88, 10), np.full(10, 50.0)], axis=1)
    return made


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a[INSIDE].astype(float) - b[INSIDE]).mean())


def test_a_change_of_colours_stays(portrait: np.ndarray) -> None:
    mixed = portrait.astype(float) @ np.array([[0.5, 0.1, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.5]]) + 40.0
    recoloured = np.round(mixed).astype(np.uint8)
    assert error(recoloured, portrait) > 15
    assert error(with_held_face(recoloured, portrait, marks()), recoloured) < 2.5


def test_lines_that_the_frame_does_not_have_vanish_from_the_face_and_stay_elsewhere(portrait: np.ndarray) -> None:
    marked = portrait.copy()
    for row in range(8, SIDE, 12):
        marked[draw.line(row, 0, row - 6, SIDE - 1)] = 20
    held = with_held_face(marked, portrait, marks())
    rows, columns = draw.line(68, 0, 62, SIDE - 1)
    on_face = (columns >= 48) & (columns < 80)
    rows, columns = rows[on_face], columns[on_face]

    def contrast(picture: np.ndarray) -> float:
        """Return the brightness three pixels above the line minus that of the line."""
        above, line = (picture[rows - up, columns].astype(float).mean() for up in (3, 0))
        return float(above - line)

    assert contrast(marked) - contrast(portrait) > 50
    assert abs(contrast(held) - contrast(portrait)) < 0.25 * (contrast(marked) - contrast(portrait))
    assert np.array_equal(held[:, :16], marked[:, :16])
    assert np.array_equal(held[:16], marked[:16])


def test_features_return_to_their_places(portrait: np.ndarray) -> None:
    moved = np.roll(portrait, 3, axis=1)
    held = with_held_face(moved, portrait, marks())

    def correlation(a: np.ndarray) -> float:
        return float(np.corrcoef(a[INSIDE].ravel(), portrait[INSIDE].ravel())[0, 1])

    assert 1 - correlation(held) < 0.5 * (1 - correlation(moved))


def test_the_border_is_where_the_face_ends(portrait: np.ndarray) -> None:
    inverted = 255 - np.roll(portrait, 5, axis=0)
    changed = (with_held_face(inverted, portrait, marks()) != inverted).any(axis=2)
    region = face_region(marks(), SIDE)
    assert changed[region].mean() > 0.95
    rows, columns = np.nonzero(region)
    far = np.ones_like(region)
    far[max(rows.min() - 10, 0) : rows.max() + 11, max(columns.min() - 10, 0) : columns.max() + 11] = False
    assert not changed[far].any()


def test_without_landmarks_the_reference_is_what_the_editor_made(portrait: np.ndarray) -> None:
    unknown = marks()
    unknown[3] = np.nan
    assert with_held_face(255 - portrait, portrait, unknown) is not None
    assert np.array_equal(with_held_face(255 - portrait, portrait, unknown), 255 - portrait)
