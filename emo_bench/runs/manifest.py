"""The schema of ``run.json``, for the code that writes it and for the code that reads one from another person.

Further entries are allowed. Types are the JSON types; no value is converted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.runs.checksums import SEAL, require_seal, seal_of
from emo_bench.untrusted.plain_json import plain, read_json
from emo_bench.untrusted.schema import reason_of

MANIFEST = "run.json"
FORMAT = 1
STAGES = ("fit", "render", "score")
LIMIT_BYTES = 32 * 2**20
AGAIN = "remove the folder and run again"
READABLE = "allow your user to read it"
# Largest allowed number of frames in a capture: more than a day of video.
MOST_FRAMES = 10_000_000
# Largest allowed score or loss: the sum of squares of larger values may overflow.
LARGEST = 1e100


def shown_capture(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return source, fps, frames and size of the video whose frames are scored: the driver's, or that of all views."""
    shown: Mapping[str, Any] = manifest.get("views_capture", manifest.get("driver_capture", manifest["capture"]))
    return shown


def shown_actor(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return name and SHA-256 of the actor whose recorded frames a run is scored on: the driver, if there is one."""
    shown: Mapping[str, Any] = identity.get("driver", identity["actor"])
    return shown


def _frame_list(text: str) -> str:
    """Check a list such as ``3-5,9``: ascending, so that it cannot name more numbers than a capture can have frames."""
    before = -1
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not all(number.isdecimal() and len(number) < 9 for number in (first, last or first)):
            raise ValueError("not a list of frames")
        if not before < int(first) <= int(last or first) < MOST_FRAMES:
            raise ValueError("frames out of order")
        before = int(last or first)
    return text


# A part of a path, or a table's name: no slash, no control character, no hidden file.
Name = Annotated[str, Field(pattern=r"^[^/\\.\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*$", max_length=200)]
Hash = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,128}$")]
Text = Annotated[str, Field(max_length=20_000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
FrameList = Annotated[str, AfterValidator(_frame_list)]
Scalar = str | int | float | bool | None
# Default of an entry that may be absent but must not be null.
_ABSENT: Any = None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Protocol(_Entry):
    name: Name
    version: Count
    hash: Hash


class Named(_Entry):
    name: Name
    sha256: Hash


class Style(_Entry):
    name: Name
    source_caption: Text
    target_caption: Text
    instruction: Text
    editor: Name
    editor_settings: dict[str, Any]


class Identity(_Entry):
    """Everything that the frames of a run depend on. An edit has a ``style``, a driven avatar a ``driver``."""

    protocol: Protocol
    split: Named
    actor: Named
    method: Name
    profile: Name
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    settings: dict[str, Text]
    resolution_px: Annotated[int, Field(ge=1, le=65536)]
    assets: dict[str, Scalar]
    style: Style = _ABSENT
    driver: Named = _ABSENT


class Split(_Entry):
    name: Name
    train: FrameList
    test: FrameList
    faceless: FrameList


class Truth(_Entry):
    """The metrics that compare a driven avatar with its true pictures, and whether there are such pictures."""

    metrics: list[Name]
    shown: bool


class Capture(_Entry):
    source: Text
    fps: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)]


class MethodFacts(_Entry):
    paper: Text = ""
    licence: Text = ""
    fidelity: Text = ""


class Described(_Entry):
    """The method's description of itself."""

    stage_seconds: dict[str, Amount] = {}
    shared_stages: dict[str, Text] = {}
    parameters: Count | None = None


class Backend(_Entry):
    name: Text
    sha256: Hash | None
    detail: Text


class Record(_Entry):
    """How a metric was measured."""

    metric: Name
    version: Text
    direction: Literal["higher", "lower"]
    unit: Text
    backend: Backend
    resolution: Text
    resize_filter: Text
    region: Text
    background: Text
    value_range: Text
    averaging: Text
    # Records of older versions lack these.
    frames: Text = _ABSENT
    reference_sha256: Hash | None = None
    masks_sha256: Hash | None = None
    captions: dict[Text, Text] = _ABSENT
    conditions: dict[Text, Text] = _ABSENT
    undefined: Text = ""
    video_score: Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)] = _ABSENT


class Machine(_Entry):
    emo_bench: Text
    commit: Text | None
    python: Text
    packages: dict[str, Text | None]
    platform: Text
    processor: Text
    cpu_capability: Text | None = None
    threads: Count | None = None
    cores: Count | None
    device: Text
    bfloat16: bool | None = None


class BegunStage(_Entry):
    """An unfinished stage: the entries that it has must have the types of a finished stage."""

    attempts: Count
    seconds: Amount = _ABSENT
    memory_mib: Amount | None = None
    frames: Count = _ABSENT
    machine: Machine = _ABSENT


class DoneStage(_Entry):
    attempts: Count
    finished_at: Annotated[str, Field(min_length=1, max_length=64)]
    seconds: Amount
    memory_mib: Amount | None = None
    gpu_memory_mib: Amount | None = None
    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)]
    machine: Machine
    # Files that a later stage or a score depends on, and the others that the stage wrote.
    files: dict[Name, Hash] = {}
    other_files: dict[Name, Hash] = {}


class LimitedFit(_Entry):
    """A fit with a limit on its time: how many of the steps it took, and in how many seconds."""

    minutes: Amount
    seconds: Amount
    steps_taken: Count
    steps: Count


class DoneFit(DoneStage):
    # A video editor is fitted on no frame.
    frames: Annotated[int, Field(ge=0, le=MOST_FRAMES)]
    memory_mib: Amount
    time_limit: LimitedFit = _ABSENT


class DoneRender(DoneStage):
    frames_sha256: Hash


class ScoreInputs(_Entry):
    clip: Text = ""


def _by_metric(records: dict[str, Record]) -> dict[str, Record]:
    for name, record in records.items():
        if record.metric != name:
            raise ValueError(f"the record of {name} belongs to metric {record.metric}")
    return records


class DoneScore(DoneStage):
    records: Annotated[dict[Name, Record], Field(min_length=1), AfterValidator(_by_metric)]
    inputs: ScoreInputs | None = None


def _progress(entry: Any) -> str:
    return "done" if isinstance(entry, dict) and entry.get("finished_at") else "begun"


_Begun = Annotated[BegunStage, Tag("begun")]
_STAGE = Discriminator(_progress)


class Stages(_Entry):
    fit: Annotated[_Begun | Annotated[DoneFit, Tag("done")], _STAGE] = _ABSENT
    render: Annotated[_Begun | Annotated[DoneRender, Tag("done")], _STAGE] = _ABSENT
    score: Annotated[_Begun | Annotated[DoneScore, Tag("done")], _STAGE] = _ABSENT


class Manifest(_Entry):
    """The content of a run's ``run.json``."""

    format: Literal[1]
    title: Text
    # Runs of older versions do not have it.
    kind: Literal["avatar", "video editor", "given frames"] = _ABSENT
    smoke: bool
    flags: list[Text]
    protocol_title: Text
    split: Split
    capture: Capture
    # The driver's, whose frames are rendered and scored.
    driver_capture: Capture = _ABSENT
    truth: Truth = _ABSENT
    # The frames of all cameras of a protocol of novel views.
    views_capture: Capture = _ABSENT
    method: MethodFacts = MethodFacts()
    identity: Identity
    stages: Stages
    described: Described = Described()
    method_place: Text = ""
    protocol_place: Text = ""
    style_title: Text = ""
    # Runs of older versions do not have it, see checksums.SEAL.
    manifest_sha256: Hash = _ABSENT
    # Files that were left out when the run was published.
    left_out: list[Name] = []
    # Older runs have this entry here and not in "described".
    shared_stages: dict[str, Text] = {}


def problem(model: type[BaseModel], value: Any) -> str | None:
    """Return one line that says where and why a value does not fit a schema; None if it fits."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        first = found[0]
        if first["type"] == "model_type" and not first["loc"]:
            return "it is not a JSON object"
        said = reason_of(first)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{_dotted(first['loc'])}: {said[:1].lower()}{said[1:]}{more}"
    return None


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a run's ``run.json`` with its checksum."""
    content = {key: value for key, value in plain(manifest).items() if key != SEAL}
    write_json(folder / MANIFEST, {**content, SEAL: seal_of(content)})


def read_manifest(folder: Path, *, changed: bool = False) -> dict[str, Any]:
    """Read a run's ``run.json``, and check it against :class:`Manifest` and its own checksum.

    Args:
        folder: the run's folder.
        changed: accept a file that has changed since it was written; only ``emo-bench verify`` does, which says so.

    Raises:
        UserError: the folder is not a run, or the file is damaged, has changed, or is of another format.
    """
    path = folder / MANIFEST
    try:
        content = read_json(path, LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} is not a run: give the folder with {MANIFEST}, or make a run with: emo-bench run"
        ) from error
    except OSError as error:
        remedy = READABLE if isinstance(error, PermissionError) else AGAIN
        raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except UserError as error:
        raise UserError(f"{error}: {AGAIN}") from error
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"{folder} was written by another version of emo-bench (format {json.dumps(content['format'])}, "
            f"this one reads {FORMAT}): {AGAIN}"
        )
    wrong = problem(Manifest, content)
    if wrong is not None:
        raise UserError(f"{path} is damaged: {wrong}: {AGAIN}")
    manifest: dict[str, Any] = content
    if not changed:
        require_seal(path, manifest)
    return manifest


def _dotted(place: Iterable[str | int]) -> str:
    """Return the location of a wrong value, e.g. ``stages.fit.seconds``, without the tags of union types."""
    return ".".join(str(part) for part in place if part not in ("begun", "done")) or "it"
