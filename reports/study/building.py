"""Build a user study like the paper's: a page that shows each clip once, and a key that says what each clip is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.progress import track_progress
from emo_bench.runs.finished import open_runs
from emo_bench.untrusted.regular_file import read_regular
from reports.figures.clips import encode_webm, read_panels
from reports.pages.html import render_template
from reports.rows import Row

KEY_LIMIT_BYTES = 2**26
FORMAT = 1
PAGE, KEY = "study.html", "study.json"
# Participants should rate the edit and not the codec. At this quality its errors can hardly be seen.
QUALITY = {"crf": "14", "b": "0", "deadline": "good", "cpu-used": "5"}
PANEL_PX = 512
CLIPS_A_CHECK = 12
CHECK_SECONDS, CHECK_FPS = 4, 10
# 3 and 5 are not used: people who do not read often press the middle or the end.
CHECK_ANSWERS = (1, 2, 4)


class StudyFile(BaseModel):
    """A part of a study's files; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _study_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError(f"{text[:80]!r} is not an id: use 1 to 64 ASCII letters, digits, dashes and underscores")
    return text


# The ids of studies, clips, checks and statements. This program makes them, so only few characters are allowed.
StudyId = Annotated[str, AfterValidator(_study_id)]


class Statement(StudyFile):
    """A question that participants answer from 1 to 5."""

    id: StudyId
    text: str


# The paper's section 4.3, verbatim.
STATEMENTS = (
    Statement(id="editing_quality", text="How do you like the editing quality in the video?"),
    Statement(id="video_realness", text="How real is the video?"),
    Statement(id="motion_accuracy", text="Do you think the motion is accurate and consistent?"),
)
SCALE = ("Bad", "Poor", "Fair", "Good", "Excellent")


class StudyClip(StudyFile):
    """A clip: the frames ``first`` to ``last`` of a run's edit. Participants see only its ``id``."""

    id: StudyId
    run: str
    method: str
    actor: str
    style: str
    profile: str
    seed: int
    first: int
    last: int
    webm_sha256: str


class AttentionCheck(StudyFile):
    """A clip that tells participants what to answer to all statements."""

    id: StudyId
    answer: int


class StudyKey(StudyFile):
    """The content of study.json. Participants do not get it."""

    format: int = FORMAT
    study: StudyId
    seed: int
    seconds: float
    statements: tuple[Statement, ...]
    clips: tuple[StudyClip, ...]
    checks: tuple[AttentionCheck, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyRequest:
    """How to build a study.

    Attributes:
        seconds: length of each clip. The clips of one subject show the same frames for all methods.
        seed: chooses these frames and the checks.
        title: title of the page.
        methods: globs of the names of methods that are shown; empty shows all but the recorded frames.
    """

    seconds: float = 3.0
    seed: int = 0
    title: str = "Edited portrait videos"
    methods: tuple[str, ...] = ()

    def shows(self, row: Row) -> bool:
        """Whether the study shows an edit."""
        name = row.identity["method"]
        return any(fnmatchcase(name, glob) for glob in self.methods) if self.methods else not row.unedited


def build_study(folders: Sequence[Path], out: Path, request: StudyRequest) -> StudyKey:
    """Write study.html, for the participants, and study.json, the key, into ``out``.

    Args:
        folders: folders of runs; the study shows each finished edit among them once.
        out: folder of the study; it is made if it is missing.
        request: how to build the study.

    Raises:
        UserError: there is no finished edit, or none of a method that is asked for, or ``out`` has another study.
    """
    opened = open_runs(folders)
    rows = [row for row in map(Row, opened.finished) if row.style]
    if not rows:
        raise UserError("no finished edit among the runs: make one with emo-bench run --style STYLE")
    for glob in request.methods:
        if not any(fnmatchcase(row.identity["method"], glob) for row in rows):
            there = ", ".join(sorted({row.identity["method"] for row in rows}))
            raise UserError(f"no finished edit of a method like {glob!r}; there are edits of {there}")
    rows = [row for row in rows if request.shows(row)]
    if not rows:
        raise UserError("the only finished edits show the recorded frames: make another with emo-bench run")
    rng = np.random.default_rng(request.seed)
    clips, videos, lost = _clips(rows, request)
    lost += [f"left out: {reason}" for reason in opened.damaged.values()]
    checks, check_videos = _checks(len(clips), request, rng)
    name = hashlib.sha256(
        json.dumps(
            [request.seed, *sorted(clip.webm_sha256 for clip in clips), *(check.answer for check in checks)]
        ).encode()
    ).hexdigest()[:12]
    key = StudyKey(
        study=name,
        seed=request.seed,
        seconds=request.seconds,
        statements=STATEMENTS,
        clips=clips,
        checks=checks,
        notes=(*_imbalance(clips), *lost),
    )
    _refuse_another(out, key)
    shown = sorted((videos | check_videos).items())
    page = render_template(
        "study.html.jinja",
        title=request.title,
        study={
            "id": key.study,
            "format": FORMAT,
            "statements": [statement.model_dump() for statement in STATEMENTS],
            "scale": SCALE,
            "clips": sorted(clip.id for clip in clips),
            "checks": [check.id for check in checks],
        },
        videos=[{"id": item, "webm": base64.b64encode(webm).decode()} for item, webm in shown],
    )
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / KEY, (key.model_dump_json(indent=1) + "\n").encode())
    write_bytes(out / PAGE, page.encode())
    return key


def read_key(folder: Path) -> StudyKey:
    """Read the key of the study in a folder.

    Raises:
        UserError: it is missing or damaged.
    """
    path = folder / KEY
    try:
        return StudyKey.model_validate_json(read_regular(path, KEY_LIMIT_BYTES))
    except OSError as error:
        raise UserError(f"{path} is missing: give the folder that emo-bench study build wrote with --study") from error
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {error.errors()[0]['msg']}") from error


def _clips(rows: Sequence[Row], request: StudyRequest) -> tuple[tuple[StudyClip, ...], dict[str, bytes], list[str]]:
    """The clips, their WebM files by id, and a note for each clip that is left out because its video is damaged."""
    clips, videos, notes = [], {}, []
    with track_progress(len(rows), "clips") as advance:
        for row in rows:
            advance()
            fps = row.fps
            first, last = _segment(row, round(request.seconds * fps), request.seed)
            try:
                webm = encode_webm(read_panels(row.run, PANEL_PX, first, last + 1, kept="ends"), fps, QUALITY)
            except UserError as error:
                notes.append(f"left out: {error}")
                continue
            name = _hidden(request.seed, row.identity, first)
            if name in videos:
                raise UserError(f"{row.run.path} was given twice, but a participant sees each clip once: leave one out")
            videos[name] = webm
            clips.append(
                StudyClip(
                    id=name, run=row.run.path.as_posix(), method=row.title, actor=row.identity["actor"]["name"],
                    style=row.style, profile=row.identity["profile"], seed=row.identity["seed"], first=first,
                    last=last, webm_sha256=hashlib.sha256(webm).hexdigest(),
                )
            )  # fmt: skip
    if not clips:
        raise UserError(notes[0])
    return tuple(clips), videos, notes


def _segment(row: Row, wanted: int, seed: int) -> tuple[int, int]:
    """The first and last position in the rendered frames; it is the same for all methods on one subject."""
    there = int(row.stages["render"]["frames"])
    length = min(there, max(1, wanted))
    drawn = np.random.default_rng([seed, *hashlib.sha256(repr(tuple(row.subject)).encode()).digest()[:8]])
    first = int(drawn.integers(0, there - length + 1))
    return first, first + length - 1


def _hidden(seed: int, identity: Any, first: int) -> str:
    """A name from which nobody can tell the method."""
    text = json.dumps([seed, identity, first], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _checks(
    clips: int, request: StudyRequest, rng: np.random.Generator
) -> tuple[tuple[AttentionCheck, ...], dict[str, bytes]]:
    checks, videos = [], {}
    for number in range(max(1, round(clips / CLIPS_A_CHECK))):
        answer = int(rng.choice(CHECK_ANSWERS))
        name = _hidden(request.seed, "check", number)
        checks.append(AttentionCheck(id=name, answer=answer))
        videos[name] = encode_webm(_check_frames(answer), CHECK_FPS, QUALITY)
    return tuple(checks), videos


def _check_frames(answer: int) -> Iterator[NDArray[np.uint8]]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (512, 256), (24, 32, 44))
    draw = ImageDraw.Draw(image)
    lines = ("This clip is a check.", f"Please answer {answer} ({SCALE[answer - 1]})", "to all three questions.")
    for i, line in enumerate(lines):
        draw.text((256, 74 + 54 * i), line, fill="white", anchor="mm", font=ImageFont.load_default(size=32))
    frame = np.asarray(image, dtype=np.uint8)
    for _ in range(CHECK_SECONDS * CHECK_FPS):
        yield frame


def _imbalance(clips: Sequence[StudyClip]) -> list[str]:
    """A note for each method that is shown on fewer subjects than the others."""
    subjects: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for clip in clips:
        subjects[clip.method].add((clip.actor, clip.style))
    every = set().union(*subjects.values())
    return [
        f"{method} is shown on {len(own)} of {len(every)} actors and styles, so its scores are of other "
        "clips than those of the other methods"
        for method, own in sorted(subjects.items())
        if own != every
    ]


def _refuse_another(out: Path, key: StudyKey) -> None:
    if (out / KEY).exists() and read_key(out).study != key.study:
        raise UserError(
            f"{out} holds another study, and its answers need the key that is there: give another folder with --out"
        )
