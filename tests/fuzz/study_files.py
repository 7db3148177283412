"""Answers of a user study's participants."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emo_bench.text.csv_text import FORMULA
from tests.fuzz.reader import Place, Reader
from tests.fuzz.run_files import require_printable
from tests.fuzz.value_changes import changed_json

CLIPS = ("c0", "c1", "c2", "c3")
CHECK = "k"


def study_key() -> Any:
    """Two methods on one actor in two styles, and an attention check."""
    from reports.study.building import STATEMENTS, AttentionCheck, StudyClip, StudyKey

    clips = tuple(
        StudyClip(id=name, run=f"runs/{name}", method=f"Method {i % 2}", actor="1", style=f"style-{i // 2}",
            profile="cpu", seed=0,
                  first=0, last=9, webm_sha256="0" * 64)
        for i, name in enumerate(CLIPS)
    )  # fmt: skip
    checks = (AttentionCheck(id=CHECK, answer=2),)
    return StudyKey(study="0123456789ab", seed=0, seconds=3.0, statements=STATEMENTS, clips=clips, checks=checks)


def answers_of(key: Any, participant: str) -> dict[str, Any]:
    """A participant's file as study.html saves it."""
    answers = {name: {"ratings": [1 + i, 3, 4], "seconds": 3.5, "starts": 1} for i, name in enumerate(CLIPS)}
    answers[CHECK] = {"ratings": [2, 2, 2], "seconds": 3.5, "starts": 2}
    return {
        "format": 1,
        "study": key.study,
        "participant": participant,
        "started_at": "2026-01-01T00:00:00.000Z",
        "finished_at": "2026-01-01T00:09:00.000Z",
        "order": list(answers),
        "answers": answers,
    }


def answer_files(folder: Path) -> Sequence[bytes]:
    """The answers of two participants."""
    key = study_key()
    return [json.dumps(answers_of(key, name), indent=1).encode() for name in ("anna-b", "p7")]


def open_answers(prepared: Path, scratch: Path) -> Place:
    """Score a damaged file beside a sound one, and read back what is written."""
    from reports.study.scoring import read_answers, score_study
    from reports.study.tables import study_latex, study_markdown, write_scores

    key, folder = study_key(), scratch / "answers"
    folder.mkdir()
    (folder / "sound.json").write_text(json.dumps(answers_of(key, "sound")))

    def score() -> None:
        for keep_failed in (False, True):
            scores = score_study(key, read_answers([folder], key), keep_failed=keep_failed)
            write_scores(key, scores, scratch / "out")
        require_printable(study_markdown(key, scores) + study_latex(key, scores))
        json.loads((scratch / "out" / "mos.json").read_text(encoding="utf-8"))
        with (scratch / "out" / "ratings.csv").open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        assert all(len(line) == len(header) for line in lines)
        cells = [cell for line in lines for cell in line if not re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)]
        assert not any(cell.startswith(FORMULA[:-1]) for cell in cells), "a cell is a formula"

    def place(content: bytes) -> Sequence[Any]:
        (folder / "damaged.json").write_bytes(content)
        return (score,)

    return place


READERS = (
    Reader(
        "answers", ("pandas", "reports.study.scoring", "reports.study.tables"), answer_files, changed_json, open_answers
    ),
)
