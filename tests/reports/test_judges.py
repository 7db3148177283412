"""How far a ranking depends on the judge, against numbers counted by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from emo_bench.runs.finished import FinishedRun
from reports.judges import judge_notes, kendall_tau
from reports.notes import score_notes
from reports.ranking import Group, group_rows
from tests.reports.test_comparison import MANIFEST, RECORD

METRICS = ("clip_d", "clip_d-judge")


def run(title: str, actor: str, scores: tuple[float, float]) -> FinishedRun:
    """An edit by a method with the same two scores on each frame."""
    manifest: dict[str, Any] = copy.deepcopy(MANIFEST)
    manifest["title"] = title
    manifest["kind"] = "video editor"
    identity = manifest["identity"]
    identity["method"] = title.lower()
    identity["actor"] = {"name": actor, "sha256": actor}
    identity["style"] = {"name": "clay"}
    manifest["stages"]["score"]["records"] = {
        name: {**RECORD, "metric": name, "unit": "1", "averaging": "mean of per-frame scores"} for name in METRICS
    }
    frames = {name: np.full(40, value) for name, value in zip(METRICS, scores, strict=True)}
    return FinishedRun(Path(f"runs/{title}-{actor}"), manifest, pandas.DataFrame(frames))


def group(scores: dict[str, dict[str, tuple[float, float]]]) -> Group:
    (made,) = group_rows([run(title, actor, two) for actor, rows in scores.items() for title, two in rows.items()])
    return made


def test_one_subject_names_the_pairs_that_the_judge_turns_round() -> None:
    # By hand: of three pairs, B and C are in opposite orders, so tau is (2 - 1) / 3.
    rows = {"A": (0.9, 0.9), "B": (0.5, 0.1), "C": (0.4, 0.3)}
    assert judge_notes(group({"1": rows})) == [
        "CLIP-D and CLIP-D (judge) order 3 methods with Kendall's tau 0.33. They put 1 of 3 pairs in opposite orders: "
        "B and C."
    ]
    assert judge_notes(group({"1": rows}))[0] in score_notes(group({"1": rows}))


def test_agreement_is_said_too() -> None:
    assert judge_notes(group({"1": {"A": (0.9, 0.2), "B": (0.5, 0.1)}})) == [
        "CLIP-D and CLIP-D (judge) order 2 methods with Kendall's tau 1.00."
    ]


def test_several_subjects_are_judged_by_their_mean_and_each_by_itself() -> None:
    same, reverse = {"A": (0.9, 0.9), "B": (0.1, 0.1)}, {"A": (0.5, 0.3), "B": (0.4, 0.4)}
    assert judge_notes(group({"1": same, "2": reverse})) == [
        "CLIP-D and CLIP-D (judge) order 2 methods with Kendall's tau 1.00, on the mean over 2 subjects. On single "
        "subjects it is -1.00 to 1.00."
    ]


def test_a_row_without_a_score_of_the_judge_is_left_out_and_nothing_is_said_of_one_row() -> None:
    rows = {"A": (0.9, 0.2), "B": (0.5, 0.1), "C": (0.7, np.nan)}
    assert judge_notes(group({"1": rows})) == ["CLIP-D and CLIP-D (judge) order 2 methods with Kendall's tau 1.00."]
    assert judge_notes(group({"1": {"A": (0.9, 0.2)}})) == []
    nobody = {"A": (0.9, np.nan), "B": (0.5, np.nan)}
    assert judge_notes(group({"1": nobody})) == []


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_the_share_of_agreeing_pairs_less_that_of_opposite_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(6), rng.permutation(6)
    signs = [np.sign((a[i] - a[k]) * (b[i] - b[k])) for i in range(6) for k in range(i)]
    assert kendall_tau(a.tolist(), b.tolist()) == pytest.approx(sum(signs) / len(signs))
