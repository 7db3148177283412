"""The bank of edits: pictures of people with exact changes and painted, in shards that are rendered once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import replacing
from emo_bench.progress import track_progress
from emo_bench.untrusted.npy import map_npy
from emo_bench.untrusted.plain_json import read_json
from factory.diffusion.shots import Row, render_shots
from factory.studio.supply import HELD_OUT_EVERY

PLAN_FILE = "plan.json"
PEOPLE_PER_SHARD = 8
MOST_ROW_BYTES = 1 << 24

Pictures = NDArray[np.uint8]
Renderer = Callable[[int, int, int], tuple[Pictures, list[Row]]]


@dataclass(frozen=True)
class EditPlan:
    """Content of a bank: ``people`` people, pictures ``size_px`` wide, all draws by ``seed``."""

    people: int = 640
    size_px: int = 128
    seed: int = 0

    def person_seed(self, person: int) -> int:
        """Return the seed of one person; the same person as in the supply's bank of that seed (docs/studio.md)."""
        return self.seed * 1_000_003 + person

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.people // PEOPLE_PER_SHARD)


@dataclass(frozen=True)
class Bank:
    """The finished shards of a bank. N pictures.

    Attributes:
        folder: where it lies.
        shards: number of each shard, with its pictures uint8 ``[n, S, S, 3]``, memory-mapped.
        rows: what each picture shows; ``of`` counts over the whole bank here.
    """

    folder: Path
    shards: list[tuple[int, Pictures]]
    rows: list[Row]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of each shard's first picture."""
        return np.cumsum([0, *[len(pictures) for _, pictures in self.shards]])

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """Whether each picture is of a person who is kept from training: bool ``[N]``."""
        return np.array([is_held_out(row.person) for row in self.rows], dtype=bool)

    def pictures(self, numbers: NDArray[np.int64]) -> Pictures:
        """Return pictures by number, uint8 ``[B, S, S, 3]``."""
        shard = np.searchsorted(self.starts, numbers, side="right") - 1
        return np.stack([self.shards[s][1][n - self.starts[s]] for s, n in zip(shard, numbers, strict=True)])


def is_held_out(person_seed: int) -> bool:
    """Whether a person of that seed is held out; those whom the supply holds out (docs/studio.md) are."""
    return person_seed % 1_000_003 % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def make_bank(folder: Path, plan: EditPlan, shards: int | None = None, render: Renderer = render_shots) -> None:
    """Render the missing shards of a bank, or the first ``shards`` of them; the same plan gives the same bytes.

    A shard is there when its rows are. After an interruption the same call continues.

    Raises:
        UserError: the bank in ``folder`` has another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_plan(folder / PLAN_FILE, plan)
    count = min(plan.shards, shards or plan.shards)
    wanted = [shard for shard in range(count) if not _files(folder, shard)[1].exists()]
    done = (count - len(wanted)) * PEOPLE_PER_SHARD
    with track_progress(count * PEOPLE_PER_SHARD, "portraits-diffusion: people", done=done) as advance:
        for shard in wanted:
            _render_shard(folder, plan, shard, render)
            advance(PEOPLE_PER_SHARD)


def open_bank(folder: Path) -> Bank:
    """Map the finished shards of a bank; raise a UserError if there are none."""
    shards: list[tuple[int, Pictures]] = []
    rows: list[Row] = []
    for path in sorted(folder.glob("rows-*.json")):
        number = int(path.stem.partition("-")[2])
        shards.append((number, map_npy(_files(folder, number)[0], "shard of a bank")))
        first = len(rows)
        found = [Row(**row) for row in read_json(path, MOST_ROW_BYTES)]
        rows += [Row(**{**asdict(row), "of": first + row.of}) for row in found]
    if not rows:
        raise UserError(f"{folder} holds no finished shard: run python -m factory.diffusion --stage bank")
    return Bank(folder, shards, rows)


def _files(folder: Path, shard: int) -> tuple[Path, Path]:
    return folder / f"pictures-{shard:05d}.npy", folder / f"rows-{shard:05d}.json"


def _render_shard(folder: Path, plan: EditPlan, shard: int, render: Renderer) -> None:
    pictures: list[Pictures] = []
    rows: list[Row] = []
    first = shard * PEOPLE_PER_SHARD
    for person in range(first, min(first + PEOPLE_PER_SHARD, plan.people)):
        some, told = render(plan.person_seed(person), plan.size_px, person)
        rows += [Row(**{**asdict(row), "of": sum(map(len, pictures)) + row.of}) for row in told]
        pictures.append(some)
    picture_file, row_file = _files(folder, shard)
    with replacing(picture_file) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(pictures))
    with replacing(row_file) as temporary:
        temporary.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")


def _check_plan(path: Path, plan: EditPlan) -> None:
    if not path.exists():
        path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
        return
    stored = read_json(path, MOST_ROW_BYTES)
    # More people may be added later: each has a seed of its own.
    if {**stored, "people": plan.people} != asdict(plan):
        raise UserError(f"{path.parent} holds a bank of another plan: delete it, or change --out")
