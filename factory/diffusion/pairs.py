"""Draw training examples from a bank: source, result, and the words between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from factory.clip.captions import Attributes, caption
from factory.clip.styles import PHOTO, find_style
from factory.diffusion.bank import Bank
from factory.diffusion.shots import Row
from factory.diffusion.wordings import instruction

SHARES = {
    "style": 0.3, "hair colour": 0.06, "haircut": 0.04, "beard": 0.09, "age": 0.06, "skin": 0.03, "smile": 0.2,
    "eyes": 0.03, "clothes": 0.04, "wall": 0.02, "light": 0.01, "none": 0.12,
}  # fmt: skip
"""How often each kind of change is drawn."""
CAPTIONED = 0.25
"""Share of examples whose text is the result's caption instead of an instruction."""
IMAGE_DROPPED, BOTH_DROPPED, TEXT_DROPPED = 0.1, 0.05, 0.1
"""More than the 0.05 each of InstructPix2Pix: the direction of a guidance is the difference to a network without."""
SPELLED = 0.1
"""Share of texts with a word of random letters: the network learns to overlook words that it does not know."""


@dataclass(frozen=True)
class Edit:
    """A source and a result, numbers of pictures in a bank, and the change between them."""

    source: int
    result: int
    kind: str
    value: str


@dataclass(frozen=True)
class Examples:
    """A batch: numbers of the sources, -1 where the image is dropped, of the results, and texts, "" where dropped."""

    sources: NDArray[np.int64]
    results: NDArray[np.int64]
    texts: list[str]


def edits_of(bank: Bank, held_out: bool) -> dict[str, list[Edit]]:
    """Return all edits of one split by kind: forwards, back where words fit, and from one colour to another."""
    found: dict[str, list[Edit]] = {kind: [] for kind in SHARES}
    colours: dict[int, list[int]] = {}
    for number, row in enumerate(bank.rows):
        if bool(bank.held_out[number]) != held_out:
            continue
        if row.style == PHOTO:
            found["none"].append(Edit(number, number, "none", ""))
        if row.kind:
            found[row.kind].append(Edit(row.of, number, row.kind, row.value))
        if row.kind not in ("", "style") and row.before:
            found[row.kind].append(Edit(number, row.of, row.kind, row.before))
        if row.kind == "hair colour":
            colours.setdefault(row.of, []).append(number)
    for several in colours.values():
        found["hair colour"] += [
            Edit(a, b, "hair colour", bank.rows[b].value) for a in several for b in several if a != b
        ]
    return found


def draw(bank: Bank, edits: dict[str, list[Edit]], count: int, rng: np.random.Generator) -> Examples:
    """Draw a batch of training examples with trained wordings, some without text, source or both."""
    chosen = [edits[kind][int(rng.integers(len(edits[kind])))] for kind in _kinds(edits, count, rng)]
    sources, texts = [], []
    for edit in chosen:
        fate = rng.random()
        no_image = fate < IMAGE_DROPPED + BOTH_DROPPED
        no_text = IMAGE_DROPPED <= fate < IMAGE_DROPPED + BOTH_DROPPED + TEXT_DROPPED
        sources.append(-1 if no_image else edit.source)
        # Without a source the text has to say everything: a caption.
        texts.append("" if no_text else text_of(bank.rows[edit.result], edit, rng, captioned=no_image))
    return Examples(np.array(sources), np.array([edit.result for edit in chosen]), texts)


def text_of(row: Row, edit: Edit, rng: np.random.Generator, captioned: bool = False) -> str:
    """Draw the text of an edit: an instruction, or a caption of the result ``row`` if it tells the change."""
    tells = edit.kind in ("style", "hair colour", "smile", "beard")
    if captioned or (tells and rng.random() < CAPTIONED):
        told = Attributes.of_row(asdict(row))
        text = caption(find_style(row.style), told, rng, tell_smile=edit.kind == "smile")
        if edit.kind in ("hair colour", "beard") and not _tells(text, edit.value) and not captioned:
            text = instruction(edit.kind, edit.value, row.sex, rng)
    else:
        text = instruction(edit.kind, edit.value, row.sex, rng)
    return _with_stranger(text, rng) if rng.random() < SPELLED else text


def _tells(text: str, value: str) -> bool:
    return value in text or (value == "full beard" and "beard" in text)


def _with_stranger(text: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    stranger = "".join(chr(97 + int(k)) for k in rng.integers(26, size=int(rng.integers(2, 8))))
    words.insert(int(rng.integers(len(words) + 1)), stranger)
    return " ".join(words)


def _kinds(edits: dict[str, list[Edit]], count: int, rng: np.random.Generator) -> Iterator[str]:
    present = [kind for kind in SHARES if edits[kind]]
    shares = np.array([SHARES[kind] for kind in present])
    return iter(str(kind) for kind in rng.choice(present, count, p=shares / shares.sum()))
