"""Protocol files: TOML read into models that refuse what they do not know, with a hash over every field."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emo_bench.errors import UserError, unknown_name
from emo_bench.untrusted.schema import read_toml_as

FOLDER = Path(__file__).parent
DEFAULT_PROTOCOL = "self_reenactment"
# TOML files beside the protocols that are none: protocols/ablation.py reads them.
NO_PROTOCOLS = ("ablation",)
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitRule(_Model):
    """How frames are divided.

    Attributes:
        kind: ``tail`` holds out the last frames, ``random`` draws them uniformly by ``seed``.
        held_out_frames: how many.
        guard_frames: a training frame is further than this from every held-out one.
        seed: of ``random``.
        train_frames_at_most: keep so many of the training frames, evenly spread; None keeps all.
    """

    kind: Literal["tail", "random"]
    held_out_frames: int = Field(ge=1)
    guard_frames: int = Field(ge=0)
    seed: int | None = Field(default=None, ge=0)
    train_frames_at_most: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _seed_goes_with_random(self) -> Self:
        if (self.kind == "random") != (self.seed is not None):
            raise ValueError("a random split has a seed, any other has none")
        return self


class Scoring(_Model):
    """What is scored: the metrics' ids and how the recorded frames become reference frames."""

    metrics: tuple[str, ...] = Field(min_length=1)
    reference_resize: Literal["area"]
    region: Literal["full frame"]
    background: Literal["as filmed"]


class Protocol(_Model):
    """A protocol: two runs are comparable only under the same :meth:`hash` and the same split."""

    name: Name
    version: int = Field(ge=1)
    title: str
    source: str
    task: Literal["self-reenactment", "editing"]
    mini: bool
    default_split: Name
    minimum_frames: int = Field(ge=2)
    short_below_frames: int
    short_share: float = Field(gt=0.0, lt=1.0)
    splits: dict[Name, SplitRule] = Field(min_length=1)
    scoring: Scoring

    @model_validator(mode="after")
    def _splits_fit(self) -> Self:
        if self.default_split not in self.splits:
            raise ValueError(f"default_split {self.default_split!r} is not one of the splits")
        if self.short_below_frames < self.minimum_frames:
            raise ValueError("short_below_frames is below minimum_frames")
        for name, rule in self.splits.items():
            if rule.held_out_frames >= self.short_below_frames:
                raise ValueError(f"split {name!r} holds out more than short_below_frames leaves")
        return self

    def hash(self) -> str:
        """SHA-256 over every field, as canonical JSON."""
        fields = self.model_dump(mode="json")
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def rule(self, split_name: str | None) -> tuple[str, SplitRule]:
        """The named split, or the default one for None.

        Raises:
            UserError: there is no such split.
        """
        name = split_name or self.default_split
        if name not in self.splits:
            raise UserError(f"protocol {self.name} has no split {name!r}; its splits: {', '.join(self.splits)}")
        return name, self.splits[name]


def list_protocols() -> list[Protocol]:
    """The protocols that come with the toolkit, by name."""
    return [_read(path) for path in _files()]


def load_protocol(name: str) -> Protocol:
    """A protocol by name, or from the TOML file at a path.

    Raises:
        UserError: there is none, or its file is not a valid protocol.
    """
    path = FOLDER / f"{name}.toml"
    if name.endswith(".toml"):
        path = Path(name)
    if not path.is_file() or (path.parent == FOLDER and path not in _files()):
        raise unknown_name("protocol", name, [found.stem for found in _files()])
    protocol = _read(path)
    if protocol.name != path.stem:
        raise UserError(f"{path} calls itself {protocol.name!r}; the name must be the file's")
    if path.parent.resolve() != FOLDER and (FOLDER / path.name).exists():
        raise UserError(f"{path} has the name of a protocol of the toolkit; give it another")
    return protocol


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.toml") if path.stem not in NO_PROTOCOLS)


def _read(path: Path) -> Protocol:
    return read_toml_as(Protocol, path, "protocol")
