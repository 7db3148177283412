"""The styled bank: heads of a studio bank, each as a photo and in a few styles, in one file with a table."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.progress import track_progress
from emo_bench.untrusted.npy import map_npy
from factory.clip.captions import SERIOUS_BELOW, Attributes
from factory.clip.styles import NAMES, PHOTO

ATTRIBUTES = ("sex", "age", "skin", "hair_style", "hair_colour", "beard", "smile", "smiling")
CHUNK_ROWS = 512


@dataclass(frozen=True)
class StyledPlan:
    """The content of a styled bank.

    Attributes:
        heads: the studio bank, ``.npy`` uint8 ``[N, S, S, 3]`` with its ``.parquet`` next to it.
        size_px: width and height of the styled pictures; those of the bank, or smaller.
        styles_per_head: number of styled pictures of each training head, besides the photo.
        styles_per_held_out: the same for each held-out head.
        seed: seed for the choice of styles and for all variants.
    """

    heads: Path
    size_px: int = 96
    styles_per_head: int = 2
    styles_per_held_out: int = 4
    seed: int = 0


@dataclass(frozen=True)
class StyledBank:
    """``images_u8`` ``[M, S, S, 3]``, memory-mapped, with the style, attributes, person and split of each picture."""

    path: Path
    images_u8: NDArray[np.uint8]
    style: NDArray[np.int64]
    attributes: list[Attributes]
    person: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    source: str

    @property
    def photos(self) -> NDArray[np.int64]:
        """The rows of the training photos."""
        return np.flatnonzero(~self.held_out & (self.style == NAMES.index(PHOTO)))

    @property
    def styled(self) -> NDArray[np.int64]:
        """The rows of the styled training pictures."""
        return np.flatnonzero(~self.held_out & (self.style != NAMES.index(PHOTO)))

    @cached_property
    def smiling_and_serious(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return, for each training person who has both, the rows of smiling and of serious photos."""
        found: dict[int, tuple[list[int], list[int]]] = {}
        for row in self.photos.tolist():
            seen = self.attributes[row]
            if seen.smiling or seen.smile < SERIOUS_BELOW:
                found.setdefault(int(self.person[row]), ([], []))[0 if seen.smiling else 1].append(row)
        both = [pair for pair in found.values() if all(pair)]
        return [(np.array(smiling), np.array(serious)) for smiling, serious in both]

    def smile_pairs(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw ``count`` people and return rows ``[2 * count]`` of photos: for each a smiling one and a serious one."""
        people = self.smiling_and_serious
        if not people:
            raise UserError(f"{self.path} has nobody with a smiling and a serious photo: give it more heads")
        chosen = rng.integers(len(people), size=count)
        return np.array([rng.choice(rows) for k in chosen for rows in people[k]], dtype=np.int64)


def make_styled_bank(out: Path, plan: StyledPlan, processes: int) -> None:
    """Write ``out`` (``.npy``) and its table (``.parquet``), or continue after an interruption.

    The same plan gives the same bytes for any number of processes. Raises UserError if the studio bank is missing or
    lacks attributes, or if the unfinished bank at ``out`` has another plan.
    """
    import pandas as pd

    table = _table(plan)
    out.parent.mkdir(parents=True, exist_ok=True)
    images_part, done_part = (out.with_name(f".{out.stem}.part{end}") for end in (".npy", ".txt"))
    header = json.dumps({**asdict(plan), "heads": str(plan.heads.resolve()), "rows": len(table)})
    done = _done(images_part, done_part, header)
    mode = "r+" if images_part.exists() else "w+"
    shape = (len(table), plan.size_px, plan.size_px, 3)
    images = np.lib.format.open_memmap(images_part, mode=mode, dtype=np.uint8, shape=shape)
    chunks = [table.iloc[first : first + CHUNK_ROWS] for first in range(0, len(table), CHUNK_ROWS)]
    tasks = [
        (
            plan,
            number,
            chunk["head"].to_numpy(),
            chunk["style"].tolist(),
            chunk["held_out"].to_numpy(dtype=bool),
            chunk.index.to_numpy(),
        )
        for number, chunk in enumerate(chunks)
        if number not in done
    ]
    with (
        track_progress(len(table), "portrait clip: styled heads") as advance,
        done_part.open("a", encoding="utf-8") as file,
    ):
        advance(sum(len(chunks[number]) for number in done))
        for number, painted in _painted(tasks, processes):
            images[number * CHUNK_ROWS : number * CHUNK_ROWS + len(painted)] = painted
            images.flush()
            file.write(f"{number}\n")
            file.flush()
            advance(len(painted))
    table.to_parquet(out.with_suffix(".parquet"), index=False)
    os.replace(images_part, out)
    done_part.unlink()
    assert isinstance(table, pd.DataFrame)


def open_styled_bank(path: Path) -> StyledBank:
    """Map a bank written by `make_styled_bank`; raise a UserError if the file is not one."""
    import pandas as pd

    beside = path.with_suffix(".parquet")
    if not (path.is_file() and beside.is_file()):
        raise UserError(f"{path} is not a styled bank: the file or its .parquet is missing")
    images, table = map_npy(path, "styled bank"), pd.read_parquet(beside)
    lacking = {"style", "held_out", "head", "person", *ATTRIBUTES} - set(table.columns)
    if lacking or images.ndim != 4 or len(images) != len(table) or images.dtype != np.uint8:
        raise UserError(f"{path} is not a styled bank: {sorted(lacking) or 'pictures and table differ'}")
    rows = table[list(ATTRIBUTES)].to_dict("records")
    return StyledBank(
        path,
        images,
        np.array([NAMES.index(name) for name in table["style"]], dtype=np.int64),
        [Attributes.of_row(row) for row in rows],
        table["person"].to_numpy(dtype=np.int64),
        table["held_out"].to_numpy(dtype=bool),
        f"{len(table):,} pictures of {table['head'].nunique():,} heads of {table['person'].nunique():,} people",
    )


def _table(plan: StyledPlan):  # type: ignore[no-untyped-def]  # a pandas table, and pandas is imported where needed
    """Make one row per picture: the head's row, its attributes, the style; photos first, then styles in alternation."""
    import pandas as pd

    heads = open_heads(plan.heads)
    if heads.shape[1] < plan.size_px:
        raise UserError(f"{plan.heads} has pictures of {heads.shape[1]} px, fewer than {plan.size_px}")
    given = pd.read_parquet(plan.heads.with_suffix(".parquet"))
    lacking = {"person", "held_out", *ATTRIBUTES} - set(given.columns)
    if lacking or len(given) != len(heads):
        raise UserError(
            f"{plan.heads} has no such table next to it: {', '.join(sorted(lacking)) or 'other length'}; "
            "make it with python -m factory.studio.supply"
        )
    held_out = given["held_out"].to_numpy(dtype=bool)
    rng = np.random.default_rng((plan.seed, 11))
    styled = np.array([name for name in NAMES if name != PHOTO])
    counts = np.where(held_out, plan.styles_per_held_out, plan.styles_per_head)
    chosen_heads = np.repeat(np.arange(len(heads)), counts)
    styles = np.empty(len(chosen_heads), dtype=object)
    for split in (False, True):
        places = np.flatnonzero(held_out[chosen_heads] == split)
        # Every style is equally frequent in each split.
        turns = np.resize(np.arange(len(styled)), len(places))
        styles[places] = styled[rng.permutation(turns)]
    order = rng.permutation(len(heads) + len(chosen_heads))
    head = np.concatenate([np.arange(len(heads)), chosen_heads])[order]
    names = np.concatenate([np.full(len(heads), PHOTO, dtype=object), styles])[order]
    table = given.iloc[head][["person", "held_out", *ATTRIBUTES]].reset_index(drop=True)
    table.insert(0, "head", head)
    table.insert(1, "style", names)
    return table


def open_heads(path: Path) -> NDArray[np.uint8]:
    """Map a studio bank; raise a UserError if it is not uint8 ``[N, S, S, 3]``."""
    if not path.is_file() or not path.with_suffix(".parquet").is_file():
        raise UserError(f"{path} is not a bank of heads: the file or its .parquet is missing")
    heads = map_npy(path, "bank of heads")
    if heads.dtype != np.uint8 or heads.ndim != 4 or heads.shape[1] != heads.shape[2] or heads.shape[3] != 3:
        raise UserError(f"{path} is not a bank of heads: {heads.dtype} {heads.shape}")
    return np.asanyarray(heads)


def _done(images: Path, done: Path, header: str) -> set[int]:
    if not (images.exists() and done.exists()):
        images.unlink(missing_ok=True)
        done.write_text(header + "\n", encoding="utf-8")
        return set()
    text = done.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines or lines[0] != header:
        raise UserError(f"{done} belongs to an unfinished styled bank with another plan: delete it and {images.name}")
    done.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return {int(line) for line in lines[1:]}


Task = tuple[StyledPlan, int, NDArray[np.int64], list[str], NDArray[np.bool_], NDArray[np.int64]]


def _painted(tasks: list[Task], processes: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    if processes <= 1:
        yield from map(_paint_chunk, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_paint_chunk, tasks)


def _paint_chunk(task: Task) -> tuple[int, NDArray[np.uint8]]:
    from emo_bench.system import opencv as cv2
    from factory.clip.painters import camera, paint

    plan, number, head, styles, held_out, rows = task
    cv2.setNumThreads(1)
    bank = open_heads(plan.heads)
    size = (plan.size_px, plan.size_px)
    pictures = np.stack([_resized(bank[i], size) for i in head])
    painted = np.empty_like(pictures)
    for name in sorted(set(styles)):
        places = [k for k, style in enumerate(styles) if style == name]
        seeds = [plan.seed * 1_000_003 + int(rows[k]) for k in places]
        taken = np.stack(
            [camera(pictures[k], np.random.default_rng((seed, 5))) for k, seed in zip(places, seeds, strict=True)]
        )
        if name == PHOTO:
            # Held-out photos stay as the studio made them, because they are measured on.
            kept = held_out[places]
            taken[kept] = pictures[places][kept]
        # In any-style transfer four heads share a texture.
        for first in range(0, len(places), 4):
            some = slice(first, first + 4)
            painted[places[some]] = paint(name, taken[some], seeds[some], seeds[first])
    return number, painted


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from emo_bench.system import opencv as cv2

    same = picture.shape[0] == size[0]
    return np.asarray(picture if same else cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
