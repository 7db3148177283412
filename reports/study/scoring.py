"""Score a user study: mean opinions with intervals, and the agreement of the raters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from emo_bench.errors import UserError
from emo_bench.statistics.agreement import krippendorff_alpha
from emo_bench.text.plain_text import json_text
from emo_bench.untrusted.schema import first_problem
from reports.numbers import finite
from reports.study.building import FORMAT, KEY, StudyFile, StudyId, StudyKey

if TYPE_CHECKING:
    import pandas

RESAMPLES, LEVEL = 2000, 0.95
Rating = Annotated[int, Field(ge=1, le=5)]
# Limit for the number of times that a participant started a clip.
MOST_STARTS = 1_000_000


def _participant(text: str) -> str:
    """Check a participant's id: no table, file name or terminal gives its characters a meaning."""
    if not (1 <= len(text) <= 64 and all(letter.isalnum() or letter in "_.-" for letter in text)):
        raise ValueError(
            f"{text[:80]!r} is not a participant's id: use letters, digits, dots, dashes and underscores, at most 64"
        )
    return text


Moment = Annotated[str, StringConstraints(pattern=r"^[0-9TZ:.+-]{1,40}$")]


class Answer(StudyFile):
    """The ratings of a clip in the order of the statements; ``starts`` is above 1 if the clip was interrupted."""

    ratings: tuple[Rating, ...]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    starts: int = Field(ge=0, le=MOST_STARTS)


class Answers(StudyFile):
    """The content of a participant's file."""

    format: Literal[1]
    study: StudyId
    participant: Annotated[str, AfterValidator(_participant)]
    started_at: Moment
    finished_at: Moment | None
    order: tuple[StudyId, ...]
    answers: dict[StudyId, Answer]


@dataclass(frozen=True)
class Opinion:
    """The mean of a method's ratings for one statement, with its interval over participants and clips."""

    method: str
    statement: str
    mean: float
    low: float
    high: float
    ratings: int
    clips: int


@dataclass(frozen=True)
class StudyScores:
    """The result of a study.

    Attributes:
        ratings: one row for each counted participant, clip and statement.
        opinions: mean opinions by method and statement.
        alpha: Krippendorff's ordinal alpha by statement.
        participants: the participants who count.
        excluded: the reason for each participant who does not count.
        notes: notes for the reader.
    """

    ratings: pandas.DataFrame
    opinions: tuple[Opinion, ...]
    alpha: dict[str, float]
    participants: tuple[str, ...]
    excluded: dict[str, str]
    notes: tuple[str, ...]


def read_answers(paths: Sequence[Path], key: StudyKey) -> list[Answers]:
    """Read answer files, or folders of them, and check them against the study.

    Raises:
        UserError: a file is damaged, belongs to another study, or has the same participant as another file.
    """
    # Only regular files: reading a named pipe would never end.
    lists = [[file for file in path.glob("*.json") if file.is_file()] if path.is_dir() else [path] for path in paths]
    files = sorted({file for found in lists for file in found if file.name != KEY})
    if not files:
        raise UserError(f"{paths[0]} holds no answers: give the JSON files that participants saved")
    read: dict[str, tuple[Path, Answers]] = {}
    for file in files:
        answers = _read(file, key)
        if answers.participant in read:
            other = read[answers.participant][0]
            raise UserError(f"{file} and {other} are both of participant {answers.participant}: give only one of them")
        read[answers.participant] = file, answers
    return [answers for _, answers in read.values()]


def score_study(key: StudyKey, answers: Sequence[Answers], *, keep_failed: bool = False) -> StudyScores:
    """Score the participants who passed the attention checks; with ``keep_failed`` the others count too.

    Raises:
        UserError: no participant counts.
    """
    failed = {one.participant: reason for one in answers if (reason := _failure(key, one))}
    counted = [one for one in answers if keep_failed or one.participant not in failed]
    if not counted:
        raise UserError("no participant passed the attention checks: use --keep-failed to count them all the same")
    ratings = _long(key, counted)
    statements = [statement.id for statement in key.statements]
    methods = list(dict.fromkeys(ratings["method"]))
    return StudyScores(
        ratings=ratings,
        opinions=tuple(
            _opinion(ratings, method, statement, key.seed) for method in sorted(methods) for statement in statements
        ),
        alpha={statement: krippendorff_alpha(_matrix(ratings, statement)) for statement in statements},
        participants=tuple(sorted(one.participant for one in counted)),
        excluded={} if keep_failed else failed,
        notes=(*key.notes, *_remarks(key, counted), *(_kept(failed) if keep_failed else ())),
    )


def mean_opinion_interval(ratings: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean rating, over participants and clips (Owen 2007, The pigeonhole bootstrap).

    Args:
        ratings: ``[participants, clips]``, NaN where a participant did not rate a clip.
        seed: seed of the resampling.

    Returns:
        The ends of the interval; both are NaN if there are fewer than two participants.
    """
    people, clips = ratings.shape
    if people < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    rated = ~np.isnan(ratings)
    values = np.where(rated, ratings, 0.0)
    of_people = rng.multinomial(people, np.full(people, 1 / people), size=RESAMPLES).astype(np.float64)
    of_clips = rng.multinomial(clips, np.full(clips, 1 / clips), size=RESAMPLES).astype(np.float64)
    sums = np.einsum("bp,pc,bc->b", of_people, values, of_clips, optimize=True)
    counts = np.einsum("bp,pc,bc->b", of_people, rated.astype(np.float64), of_clips, optimize=True)
    means = sums[counts > 0] / counts[counts > 0]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _read(file: Path, key: StudyKey) -> Answers:
    try:
        answers = Answers.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        raise UserError(f"{file} is not a file of answers ({first_problem(error)})") from error
    if answers.study != key.study:
        raise UserError(f"{file} has answers to study {answers.study}, not to {key.study}")
    known = {clip.id for clip in key.clips} | {check.id for check in key.checks}
    if sorted(answers.order) != sorted(known) or not answers.answers.keys() <= known:
        raise UserError(f"{file} has answers to other clips than those of study {key.study}")
    if any(len(answer.ratings) != len(key.statements) for answer in answers.answers.values()):
        raise UserError(f"{file} has a clip that lacks an answer to one of the {len(key.statements)} questions")
    return answers


def _failure(key: StudyKey, answers: Answers) -> str:
    """Why a participant does not count; empty if the participant counts."""
    for check in key.checks:
        given = answers.answers.get(check.id)
        if given is None:
            return "did not reach every attention check"
        if set(given.ratings) != {check.answer}:
            return f"answered {given.ratings} where a check asked for {check.answer}"
    return ""


def _long(key: StudyKey, answers: Sequence[Answers]) -> pandas.DataFrame:
    import pandas

    records: list[dict[str, Any]] = []
    labels = _labels(key)
    for one in answers:
        for clip in key.clips:
            given = one.answers.get(clip.id)
            if given is None:
                continue
            for statement, rating in zip(key.statements, given.ratings, strict=True):
                records.append(
                    {
                        "participant": one.participant, "clip": clip.id, "method": labels[clip.id],
                        "actor": clip.actor, "style": clip.style, "statement": statement.id, "rating": rating,
                        "position": one.order.index(clip.id) + 1, "seconds": given.seconds, "starts": given.starts,
                    }
                )  # fmt: skip
    if not records:
        raise UserError("there are no answers yet: no participant answered a clip")
    return pandas.DataFrame(records)


def _labels(key: StudyKey) -> dict[str, str]:
    """The method of each clip, with profile and seed if the study shows a method with several."""
    variants: dict[str, set[tuple[str, int]]] = {}
    for clip in key.clips:
        variants.setdefault(clip.method, set()).add((clip.profile, clip.seed))
    return {
        clip.id: clip.method if len(variants[clip.method]) == 1 else f"{clip.method}, {clip.profile}, seed {clip.seed}"
        for clip in key.clips
    }


def _matrix(ratings: pandas.DataFrame, statement: str, method: str | None = None) -> NDArray[np.float64]:
    """The ratings ``[participants, clips]`` of a statement; NaN where there is none."""
    chosen = ratings[ratings["statement"] == statement]
    if method is not None:
        chosen = chosen[chosen["method"] == method]
    table = chosen.pivot(index="participant", columns="clip", values="rating")
    return np.asarray(table.to_numpy(dtype=np.float64))


def _opinion(ratings: pandas.DataFrame, method: str, statement: str, seed: int) -> Opinion:
    matrix = _matrix(ratings, statement, method)
    low, high = mean_opinion_interval(matrix, seed)
    return Opinion(
        method, statement, float(np.nanmean(matrix)), low, high, int((~np.isnan(matrix)).sum()), matrix.shape[1]
    )


def _remarks(key: StudyKey, answers: Sequence[Answers]) -> list[str]:
    notes = []
    wanted = len(key.clips) + len(key.checks)
    for one in answers:
        if len(one.answers) < wanted:
            notes.append(f"Participant {one.participant} answered {len(one.answers)} of {wanted} clips.")
        again = sum(answer.starts > 1 for answer in one.answers.values())
        if again:
            notes.append(f"Participant {one.participant} started {again} clips more than once.")
    return notes


def _kept(failed: dict[str, str]) -> list[str]:
    return [f"Participant {name} counts though they {reason}." for name, reason in failed.items()]


def as_json(key: StudyKey, scores: StudyScores) -> str:
    """The scores as JSON text; NaN becomes null."""
    content = {
        "format": FORMAT,
        "study": key.study,
        "participants": scores.participants,
        "excluded": scores.excluded,
        "opinions": [finite(vars(opinion)) for opinion in scores.opinions],
        "krippendorff_alpha_ordinal": finite(scores.alpha),
        "notes": scores.notes,
    }
    return json_text(content, indent=1) + "\n"
