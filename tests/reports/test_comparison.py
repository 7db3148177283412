"""What may stand in one table, what is best in it, and how an infinite mean is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun
from reports.notes import rank_notes
from reports.numbers import number
from reports.pages.writing import _cell_text, average_table
from reports.ranking import Group, best_rows, group_rows, rank_rows
from reports.rows import Row

RECORD = {
    "metric": "psnr", "version": "1", "direction": "higher", "unit": "dB",
    "backend": {"name": "emo-bench", "sha256": None, "detail": "0.1.0"}, "resolution": "128x128",
    "resize_filter": "area", "region": "full frame", "background": "as filmed", "value_range": "[0, 255]",
    "averaging": "mean of per-frame scores", "frames_scored": 40, "frames_dropped": [],
}  # fmt: skip
MANIFEST = {
    "title": "Some avatar", "smoke": False, "flags": [], "split": {"test": "0-39"},
    "identity": {
        "protocol": {"name": "p", "version": 1, "hash": "a"}, "split": {"name": "tail", "sha256": "s"},
        "actor": {"name": "1", "sha256": "c"}, "method": "some", "profile": "cpu", "seed": 0, "settings": {},
        "resolution_px": 128, "config": {}, "assets": {},
    },
    "stages": {"score": {"records": {"psnr": RECORD}}},
}  # fmt: skip


def run(scores: Any = None, changes: dict[str, Any] | None = None) -> FinishedRun:
    """A finished run with changes at dotted places, e.g. {"identity.seed": 1}."""
    manifest: dict[str, Any] = copy.deepcopy(MANIFEST)
    for path, value in (changes or {}).items():
        *outer, last = path.split(".")
        inner = manifest
        for key in outer:
            inner = inner[key]
        inner[last] = value
    values = np.linspace(20, 30, 40) if scores is None else np.asarray(scores, dtype=float)
    return FinishedRun(Path("runs/x"), manifest, pandas.DataFrame({"psnr": values}))


BACKEND = "stages.score.records.psnr"


@pytest.mark.parametrize(
    "change",
    [
        {"identity.protocol.hash": "b"},
        {"identity.protocol.version": 2},
        {"identity.split.name": "random"},
        {"identity.resolution_px": 64},
        {"smoke": True},
        {f"{BACKEND}.backend": {"name": "emo-bench", "sha256": "f", "detail": "0.1.0"}},
        {f"{BACKEND}.backend": {"name": "other", "sha256": None, "detail": "0.1.0"}},
        {f"{BACKEND}.version": "2"},
        {f"{BACKEND}.resize_filter": "bicubic, enlarged"},
        {f"{BACKEND}.background": "white"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_another_kind_stand_in_another_table(change: dict[str, Any]) -> None:
    assert len(group_rows([run(), run(changes=change)])) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"identity.actor.name": "2"},
        {"identity.seed": 1},
        {"identity.method": "mean-frame"},
        {"identity.settings": {"lr": "1"}},
        {f"{BACKEND}.backend.detail": "0.2.0"},
        {f"{BACKEND}.frames_scored": 39},
    ],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_one_kind_stand_together(change: dict[str, Any]) -> None:
    assert len(group_rows([run(), run(changes=change)])) == 1


def test_a_metric_that_is_missing_for_one_run_parts_it_from_the_others() -> None:
    other = run(changes={f"{BACKEND}.backend": {"name": "n/a", "sha256": None, "detail": "needs asset"}})
    assert len(group_rows([run(), other])) == 2


def test_actors_are_ranked_apart_and_in_natural_order() -> None:
    runs = [run(changes={"identity.actor.name": name}) for name in ("10", "2", "anna")]
    (group,) = group_rows(runs)
    assert [rows[0].subject[0] for rows in group.subjects] == ["2", "10", "anna"]


def test_an_actor_added_again_is_another_subject() -> None:
    (group,) = group_rows([run(), run(changes={"identity.actor.sha256": "d"})])
    assert len(group.subjects) == 2


def test_best_is_on_the_frames_that_all_have() -> None:
    """The second run misses the frames that are hard; counted on those it has, the first is better."""
    hard = np.where(np.arange(40) < 20, 10.0, 30.0)
    partial = np.where(np.arange(40) < 20, np.nan, 29.0)
    rows = [Row(run(hard)), Row(run(partial))]
    assert rows[1].cells["psnr"].interval.mean > rows[0].cells["psnr"].interval.mean
    assert best_rows(rows, "psnr") == {0}


def test_the_recorded_frames_are_a_row_without_a_rank() -> None:
    """They would win every distance to the recorded frames, and lack the scores of an edit."""
    style = {"identity.style": {"name": "clay"}}
    nothing = np.full(40, np.nan)
    rows = [
        Row(run(np.full(40, score), {**style, "identity.method": method}))
        for method, score in (("recorded", 99.0), ("a", 20.0), ("b", 30.0))
    ]
    assert rank_rows(rows, "psnr") == {1: 2, 2: 1}
    assert best_rows(rows, "psnr") == {2}
    without = [Row(run(nothing, {**style, "identity.method": "recorded"})), *rows[1:]]
    assert rank_rows(without, "psnr") == {1: 2, 2: 1}
    group = Group(tuple(without))
    assert rank_notes(group) == [] and group.incomplete == []


def test_a_row_with_few_scores_is_not_ranked_and_takes_no_frames() -> None:
    few = np.where(np.arange(40) < 10, 99.0, np.nan)
    rows = [Row(run(few)), Row(run(np.full(40, 20.0))), Row(run(np.linspace(10, 40, 40)))]
    assert best_rows(rows, "psnr") == {2}


def test_best_follows_the_direction_and_needs_company() -> None:
    low, high = run(np.full(40, 1.0)), run(np.full(40, 2.0))
    assert best_rows([Row(low), Row(high)], "psnr") == {1}
    for one in (low, high):
        one.manifest["stages"]["score"]["records"]["psnr"]["direction"] = "lower"
    assert best_rows([Row(low), Row(high)], "psnr") == {0}
    assert best_rows([Row(low)], "psnr") == set()
    absent = run(np.full(40, np.nan))
    with pytest.raises(UserError, match="direction"):
        best_rows([Row(low), Row(absent)], "psnr")
    absent.manifest["stages"]["score"]["records"]["psnr"]["direction"] = "lower"
    assert best_rows([Row(low), Row(absent)], "psnr") == {0}
    assert best_rows([Row(run(np.full(40, np.nan)))] * 2, "psnr") == set()


def test_scores_with_another_reference_or_other_captions_are_not_ranked_and_the_report_says_so() -> None:
    known = {"frames": "0-39", "reference_sha256": "a", "masks_sha256": None, "conditions": {}}
    changes = [
        {f"{BACKEND}.captions": {"target": caption}, **{f"{BACKEND}.{key}": value for key, value in known.items()}}
        for caption in ("a bronze bust", "a clay bust")
    ]
    (group,) = group_rows([run(np.full(40, level), one) for level, one in zip((1.0, 2.0), changes, strict=True)])
    assert [ranks for _, ranks in group.ranked[0]] == [{"psnr": None}] * 2
    assert "Actor 1, PSNR: not ranked, because the records differ in captions of the edit" in "".join(rank_notes(group))
    old = {key: value for key, value in changes[0].items() if "captions" not in key and "conditions" not in key}
    assert len(group_rows([run(), run(changes=changes[0])])) == 2, "a record of an older version is another kind"
    assert len(group_rows([run(), run(changes=old)])) == 1


def test_infinite_scores_are_told_apart_from_the_rest() -> None:
    scores = np.full(40, 30.0)
    scores[:3] = np.inf
    cell = Row(run(scores)).cells["psnr"]
    assert (cell.interval.mean, cell.infinite, cell.finite.mean, cell.finite.n) == (np.inf, 3, 30.0, 37)
    assert _cell_text(cell, False, 40) == "∞ (3 frames identical; the others 30.00 [30.00, 30.00])"
    every = Row(run(np.full(40, np.inf))).cells["psnr"]
    assert _cell_text(every, True, 40) == "**∞** (40 frames identical)"


def test_undefined_frames_are_counted() -> None:
    scores = np.full(40, 30.0)
    scores[5:9] = np.nan
    cell = Row(run(scores)).cells["psnr"]
    assert _cell_text(cell, True, 40) == "**30.00** [30.00, 30.00] (n=36)"
    nothing = Row(run(np.full(40, np.nan))).cells["psnr"]
    assert _cell_text(nothing, False, 40) == "n/a"


def test_means_over_actors_need_every_actor() -> None:
    runs = [run(np.full(40, 10.0)), run(np.full(40, 20.0), {"identity.actor.name": "2"})]
    runs.append(run(np.full(40, 50.0), {"identity.settings": {"lr": "1"}}))
    (group,) = group_rows(runs)
    (average,) = group.averages
    assert average.first.identity["settings"] == {}
    assert average.mean("psnr") == 15.0
    assert Group((Row(runs[0]),)).averages == []
    assert average_table(Group((Row(runs[0]),))) == ""


def test_the_best_mean_over_actors_is_bold() -> None:
    runs = [
        run(np.full(40, psnr), {"identity.actor.name": actor, "identity.method": method, "title": method})
        for actor, method, psnr in (("1", "a", 10.0), ("2", "a", 20.0), ("1", "b", 12.0), ("2", "b", 30.0))
    ]
    (group,) = group_rows(runs)
    first, second = average_table(group).splitlines()[2:]
    assert first.endswith("0 | 15.00 |")
    assert second.endswith("0 | **21.00** |")


def test_seeds_are_repeats_in_a_mean_over_actors() -> None:
    """Actor 1 has seeds 0 and 1 and actor 2 has seed 2: they are runs of one contestant, and each actor counts once."""
    runs = [
        run(np.full(40, psnr), {"identity.actor.name": actor, "identity.seed": seed})
        for actor, seed, psnr in (("1", 0, 10.0), ("1", 1, 30.0), ("2", 2, 50.0))
    ]
    runs += [
        run(np.full(40, 30.0), {"identity.actor.name": actor, "identity.method": "other", "title": "Other avatar"})
        for actor in ("1", "2")
    ]
    (group,) = group_rows(runs)
    other, seeded = average_table(group).splitlines()[2:]
    assert seeded == "| Some avatar | cpu, 0 1 2 | **35.00** |"
    assert other == "| Other avatar | cpu, 0 | 30.00 |"


def test_the_same_seed_twice_has_no_mean_over_actors() -> None:
    runs = [run(changes={"identity.actor.name": actor}) for actor in ("1", "1", "2")]
    (group,) = group_rows(runs)
    assert group.averages == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (26.7312, "26.73"),
        (0.05812, "0.0581"),
        (0.0, "0.000"),
        (1234.5, "1234"),
        (0.000096, "9.60e-05"),
        (np.nan, "n/a"),
    ],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text
