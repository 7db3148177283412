"""Protocol files: read TOML into models that refuse unknown fields, and hash all fields."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from emo_bench.errors import UserError, unknown_name
from emo_bench.untrusted.schema import read_toml_as
from emo_bench.untrusted.toml_file import read_toml
from protocols.driving import Driving
from protocols.frame_lists import Range, checked_list, first_common, ranges_of
from protocols.viewing import Viewing

FOLDER = Path(__file__).parent
DEFAULT_PROTOCOL = "self_reenactment"
CROSS_REENACTMENT = "cross-reenactment"
NOVEL_VIEW = "novel-view"
# TOML files in this folder that are not protocols; protocols/ablation.py reads them.
NO_PROTOCOLS = ("ablation",)
# The fields of a split by head pose.
POSE_FIELDS = ("within_yaw_deg", "within_pitch_deg", "margin_deg")
# The fields of a split by expression.
EXPRESSION_FIELDS = ("coefficient", "within", "margin")
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]
FrameList = Annotated[str, BeforeValidator(checked_list)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitRule(_Model):
    """The rule that divides frames into training and held-out frames.

    Attributes:
        kind: ``tail`` holds out the last frames, ``random`` draws them uniformly by ``seed``, ``pose`` takes those in
            which the head is turned far, ``expression`` those in which a coefficient is high, ``frames`` lists them.
        held_out_frames: number of held-out frames; not for ``frames``. A ``pose`` or ``expression`` split may find
            fewer.
        guard_frames: a training frame is further than this from every held-out one.
        seed: the random seed; for ``random``.
        train_frames_at_most: keep this many of the training frames, evenly spaced; None keeps all. Not for ``frames``.
        within_yaw_deg, within_pitch_deg: training frames have a yaw and a pitch at most so far from their medians; for
            ``pose``.
        margin_deg: held-out frames exceed one of the two by more than this; for ``pose``.
        coefficient: the name of one of the track's 52 expression coefficients; for ``expression``.
        within: training frames have at most this value of the coefficient, which is in [0, 1]; for ``expression``.
        margin: held-out frames exceed it by more than this; for ``expression``.
        train, held_out: the frame numbers, as :func:`protocols.frame_lists.format_frames` writes them; for ``frames``.
    """

    kind: Literal["tail", "random", "pose", "expression", "frames"]
    held_out_frames: int | None = Field(default=None, ge=1)
    guard_frames: int = Field(ge=0)
    seed: int | None = Field(default=None, ge=0)
    train_frames_at_most: int | None = Field(default=None, ge=1)
    within_yaw_deg: float | None = Field(default=None, gt=0, lt=90)
    within_pitch_deg: float | None = Field(default=None, gt=0, lt=90)
    margin_deg: float | None = Field(default=None, ge=0, lt=90)
    coefficient: str | None = Field(default=None, min_length=1, max_length=60)
    within: float | None = Field(default=None, ge=0, lt=1)
    margin: float | None = Field(default=None, ge=0, lt=1)
    train: FrameList | None = None
    held_out: FrameList | None = None

    @model_validator(mode="after")
    def _fields_go_with_kind(self) -> Self:
        if (self.kind == "random") != (self.seed is not None):
            raise ValueError("a random split has a seed, any other has none")
        for kind, names in (("pose", POSE_FIELDS), ("expression", EXPRESSION_FIELDS)):
            if any((self.kind == kind) != (getattr(self, field) is not None) for field in names):
                article = "an" if kind == "expression" else "a"
                raise ValueError(f"{article} {kind} split has {', '.join(names)}, any other has none of them")
        if self.kind != "frames":
            if self.held_out_frames is None:
                raise ValueError(f"a split of kind {self.kind} says how many frames it holds out: give held_out_frames")
            if self.train is not None or self.held_out is not None:
                raise ValueError(f"a split of kind {self.kind} lists no frames: leave out train and held_out")
            return self
        if self.held_out_frames is not None or self.train_frames_at_most is not None:
            raise ValueError("a split that lists its frames has no held_out_frames and no train_frames_at_most")
        if self.train is None or self.held_out is None:
            raise ValueError('a split of kind "frames" lists train and held_out')
        self._require_apart(ranges_of(self.train), ranges_of(self.held_out))
        return self

    def _require_apart(self, train: list[Range], held_out: list[Range]) -> None:
        """Raise ValueError if a frame is in both lists, or trains within ``guard_frames`` of a held-out frame."""
        near = first_common(train, held_out, closer_than=self.guard_frames + 1)
        if near is None:
            return
        if near[0] == near[1]:
            raise ValueError(f"frame {near[0]} is in train and in held_out")
        raise ValueError(
            f"frame {near[0]} trains, but it is only {abs(near[0] - near[1])} from held-out frame {near[1]}: "
            f"guard_frames is {self.guard_frames}"
        )

    @model_serializer(mode="wrap")
    def _fields(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields that were added later and are empty, so that older splits keep the hash that they had."""
        fields: dict[str, Any] = whole(self)
        later = ("train", "held_out", *POSE_FIELDS, *EXPRESSION_FIELDS)
        return {key: value for key, value in fields.items() if value is not None or key not in later}


class Scoring(_Model):
    """The scoring: the metrics, and how the recorded frames become reference frames.

    Attributes:
        metrics: ids, or ``path/to/file.py:Class``; a relative path is relative to the protocol file's folder.
        truth_metrics: ids of metrics that compare a driven avatar with the true picture of the subject; only pairs with
            a truth clip have these scores.
    """

    metrics: tuple[str, ...] = Field(min_length=1)
    truth_metrics: tuple[str, ...] = ()
    reference_resize: Literal["area"]
    region: Literal["full frame"]
    background: Literal["as filmed"]

    @model_validator(mode="after")
    def _scored_once(self) -> Self:
        twice = [name for name in self.truth_metrics if name in self.metrics or self.truth_metrics.count(name) > 1]
        if twice:
            raise ValueError(f"metric {twice[0]} is listed twice: a metric compares with one picture")
        if any(_names_file(name) for name in self.truth_metrics):
            raise ValueError("truth_metrics are ids: a metric in a file goes into metrics")
        return self

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The metrics and the truth metrics, in the order of a table's columns."""
        return (*self.truth_metrics, *self.metrics)

    @model_serializer(mode="wrap")
    def _fields(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``truth_metrics`` if there are none: older protocols keep the hash that they had before."""
        fields: dict[str, Any] = whole(self)
        return {key: value for key, value in fields.items() if value or key != "truth_metrics"}


class Protocol(_Model):
    """A protocol. Two runs are comparable only if they have the same :meth:`hash` and the same split.

    ``driving`` says who drives whom; only a protocol of cross-reenactment has it. ``views`` says which other cameras
    see the person; only a protocol of novel views has it.
    """

    name: Name
    version: int = Field(ge=1)
    title: str
    source: str
    task: Literal["self-reenactment", "editing", "cross-reenactment", "novel-view"]
    mini: bool
    default_split: Name
    minimum_frames: int = Field(ge=2)
    short_below_frames: int
    short_share: float = Field(gt=0.0, lt=1.0)
    splits: dict[Name, SplitRule] = Field(min_length=1)
    scoring: Scoring
    driving: Driving | None = None
    views: Viewing | None = None
    # The metrics as the file names them; ``scoring`` holds absolute paths.
    _metrics_as_written: tuple[str, ...] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _splits_fit(self) -> Self:
        if self.default_split not in self.splits:
            raise ValueError(f"default_split {self.default_split!r} is not one of the splits")
        if (self.task == CROSS_REENACTMENT) != (self.driving is not None):
            raise ValueError("a protocol of cross-reenactment has the table driving, and no other protocol has it")
        if (self.task == NOVEL_VIEW) != (self.views is not None):
            raise ValueError("a protocol of novel views has the table views, and no other protocol has it")
        if self.driving is None and self.scoring.truth_metrics:
            raise ValueError("truth_metrics are for cross-reenactment; any other protocol has metrics alone")
        if self.short_below_frames < self.minimum_frames:
            raise ValueError("short_below_frames is below minimum_frames")
        for name, rule in self.splits.items():
            if rule.held_out_frames is not None and rule.held_out_frames >= self.short_below_frames:
                raise ValueError(f"split {name!r} holds out more than short_below_frames leaves")
        return self

    @model_serializer(mode="wrap")
    def _fields(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``driving`` and ``views`` if there are none: older protocols keep the hash that they had."""
        fields: dict[str, Any] = whole(self)
        return {key: value for key, value in fields.items() if value is not None or key not in ("driving", "views")}

    def hash(self) -> str:
        """Return the SHA-256 of all fields of the file, as canonical JSON; it is the same in every folder."""
        fields = self.model_dump(mode="json")
        if self._metrics_as_written is not None:
            fields["scoring"]["metrics"] = list(self._metrics_as_written)
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def placed(self, folder: Path) -> Self:
        """Return this protocol with the paths of its metric files relative to the folder of the protocol's file."""
        written = self.scoring.metrics
        metrics = tuple(str(folder.absolute() / name) if _names_file(name) else name for name in written)
        if metrics == written:
            return self
        placed = self.model_copy(update={"scoring": self.scoring.model_copy(update={"metrics": metrics})})
        placed._metrics_as_written = written
        return placed

    def rule(self, split_name: str | None) -> tuple[str, SplitRule]:
        """Return the named split, or the default one for None.

        Raises:
            UserError: there is no such split.
        """
        name = split_name or self.default_split
        if name not in self.splits:
            raise UserError(f"protocol {self.name} has no split {name!r}; its splits: {', '.join(self.splits)}")
        return name, self.splits[name]


def list_protocols() -> list[Protocol]:
    """Return the protocols that come with the toolkit, by name."""
    return [_read(path) for path in _files()]


def load_protocol(name: str) -> Protocol:
    """Return a protocol by name, or from the TOML file at a path.

    Raises:
        UserError: there is no such protocol, or its file is not valid.
    """
    path = FOLDER / f"{name}.toml"
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"{path} is not a file; name a protocol of your own by its TOML file")
    if not path.is_file() or (path.parent == FOLDER and path not in _files()):
        raise unknown_name("protocol", name, [found.stem for found in _files()])
    protocol = _read(path)
    if protocol.name != path.stem:
        raise UserError(f"{path} calls itself {protocol.name!r}; the name must be the file's")
    if path.parent.resolve() != FOLDER and (FOLDER / path.name).exists():
        raise UserError(f"{path} has the name of a protocol of the toolkit; give it another")
    return protocol


@functools.cache
def todays_version(name: str) -> int | None:
    """Return the version of a protocol of the toolkit; None if it has no protocol of that name."""
    path = FOLDER / f"{name}.toml"
    return int(read_toml(path)["version"]) if path in _files() else None


def own_file(name: str) -> Path | None:
    """Return the file of a protocol that a user names by its path; None for a protocol of the toolkit."""
    path = Path(name)
    return path if name.endswith(".toml") and path.parent.resolve() != FOLDER.resolve() else None


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.toml") if path.stem not in NO_PROTOCOLS)


def _read(path: Path) -> Protocol:
    return read_toml_as(Protocol, path, "protocol").placed(path.parent)


def _names_file(metric: str) -> bool:
    return metric.endswith(".py") or metric.rpartition(":")[0].endswith(".py")
