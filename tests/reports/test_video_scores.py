"""The score of a video in every summary: means, metrics that do not average, lost frames, and n/a with its reason."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from rich.console import Console

from emo_bench.metrics.aggregation import contributions, reasons, video_scores
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.pixels import PSNRGlobal
from emo_bench.metrics.watched import contributions as contributions_of
from emo_bench.runs.finished import FinishedRun
from emo_bench.statistics.differences import SubjectScores
from reports.compare.paired import compare_sides
from reports.compare.sides import sort_into_sides
from reports.compare.writing import notes
from reports.differences import averaged, compare_videos, fails_more
from reports.gate.checks import check_runs
from reports.gate.stored_scores import group_seeds
from reports.gate.thresholds import Threshold, ThresholdFile
from reports.notes import score_notes
from reports.numbers import percent
from reports.pages.content import report_content
from reports.pages.terminal import print_tables
from reports.pages.writing import _group_table, group_notes
from reports.ranking import group_rows
from reports.rows import Row
from reports.tables import LeftOut, long_rows, wide_table
from tests.reports.test_comparison import RECORD, run

AVERAGING = "PSNR of the mean of the frames' MSE"
LANDMARKS: dict[str, Any] = {"undefined": "no face was found", "direction": "lower", "unit": "px"}


def global_psnr(decibels: np.ndarray) -> float:
    """10 log10(255^2 / mean MSE), computed from MSEs here."""
    errors = [255.0**2 / 10 ** (value / 10) if math.isfinite(value) else 0.0 for value in decibels[~np.isnan(decibels)]]
    return 10 * math.log10(255.0**2 / float(np.mean(errors)))


def measured(
    scores: Any, metric: str = "psnr_global", method: str = "some", seed: int = 0, **record: Any
) -> FinishedRun:
    """A finished run with one metric."""
    own = {**RECORD, "metric": metric, **({"averaging": AVERAGING} if metric == "psnr_global" else {}), **record}
    changes = {
        "identity.method": method, "title": method, "stages.score": {
            "records": {metric: own}, "frames": len(scores), "seconds": 1.0,
            "machine": {"emo_bench": "0", "commit": None, "device": "cpu"},
        },
        "stages.fit": {
            "seconds": 1.0, "attempts": 1, "memory_mib": 1.0,
            "machine": {
                "device": "cpu", "processor": "p", "cores": 2, "emo_bench": "0", "commit": None, "python": "3",
                "packages": {}, "platform": "linux",
            },
        },
        "stages.render": {"frames": len(scores), "seconds": 1.0, "frames_sha256": "f"},
        "split": {"name": "tail", "train": "", "test": "", "faceless": ""},
        "protocol_title": "P",
    }  # fmt: skip
    made = run(np.asarray(scores, float), changes)
    table = pandas.DataFrame({metric: np.asarray(scores, float)}, index=pandas.RangeIndex(len(scores), name="frame"))
    table.attrs["records"] = {metric: own}
    return FinishedRun(Path(f"runs/{method}"), made.manifest, table)


SCORES = np.random.default_rng(0).normal(30, 4, 80)
OTHER = SCORES - np.random.default_rng(1).uniform(0.5, 1.5, 80)


def test_every_summary_prints_the_global_psnr_and_not_the_mean() -> None:
    right, plain = global_psnr(SCORES), float(SCORES.mean())
    assert right < plain - 0.5
    one, other = measured(SCORES), measured(OTHER, method="other")
    (group,) = group_rows([one, other])
    cell = Row(one).cells["psnr_global"]
    assert cell.interval.mean == pytest.approx(right)
    table = long_rows([group])
    assert table["mean"].tolist() == pytest.approx([global_psnr(OTHER), right])
    assert wide_table(table)["psnr_global"].tolist() == pytest.approx([global_psnr(OTHER), right])
    assert report_content([group], LeftOut())["tables"][0]["rows"][1]["scores"]["psnr_global"]["mean"] == pytest.approx(
        right
    )
    text = _group_table(group, Path("."))
    assert f"{right:.2f}" in text and f"{plain:.2f}" not in text
    out = io.StringIO()
    print_tables([group], Console(file=out, width=120))
    assert f"{right:.2f}" in out.getvalue() and f"{plain:.2f}" not in out.getvalue()
    assert one.means == {"psnr_global": pytest.approx(right)}
    (sides,) = sort_into_sides([Row(one), Row(other)]).values()
    a, b = sides.values()
    (result,) = compare_sides(a, b).results
    assert result.overall is not None
    assert result.overall.mean_a == pytest.approx(right)
    assert result.overall.difference == pytest.approx(right - global_psnr(OTHER))
    assert result.overall.wins == 1.0, "every frame is better by its own score"


def test_the_gate_checks_the_global_psnr() -> None:
    right = global_psnr(SCORES)
    groups = group_seeds([Row(measured(SCORES))])
    stored = {group.key: group for group in group_seeds([Row(measured(OTHER))])}
    for limit, passed in ((right - 0.01, True), (right + 0.01, False)):
        thresholds = ThresholdFile(version=1, threshold=(Threshold(metric="psnr_global", at_least=limit),))
        (outcome,) = check_runs(groups, thresholds, {})
        assert outcome.passed == passed and outcome.value == pytest.approx(right)
    thresholds = ThresholdFile(version=1, threshold=(Threshold(metric="psnr_global", allow=0.1),))
    (outcome,) = check_runs(groups, thresholds, stored)
    assert outcome.worse_by == pytest.approx(global_psnr(OTHER) - right)


def test_the_interval_is_about_the_global_psnr() -> None:
    """Against an independent bootstrap of the global value over frames, on independent frames."""
    drawn = np.random.default_rng(2).integers(0, 80, (4000, 80))
    spread = float(np.std([global_psnr(SCORES[rows]) for rows in drawn], ddof=1))
    values = contributions({**RECORD, "metric": "psnr_global", "averaging": AVERAGING}, SCORES)
    assert float(values.mean()) == pytest.approx(global_psnr(SCORES))
    assert float(values.std(ddof=1)) / math.sqrt(80) == pytest.approx(spread, rel=0.1)


def test_contributions_keep_gaps_infinities_and_single_frames() -> None:
    gappy = np.array([30.0, np.nan, 20.0, np.inf])
    values = contributions_of(PSNRGlobal, gappy)
    assert np.isnan(values).tolist() == [False, True, False, False]
    assert np.nanmean(values) == pytest.approx(global_psnr(gappy))
    assert contributions_of(PSNRGlobal, np.array([np.nan, 25.0]))[1] == pytest.approx(25.0)
    assert np.isposinf(contributions_of(PSNRGlobal, np.full(3, np.inf))).all()
    identical = Row(measured(np.where(np.arange(80) < 3, np.inf, SCORES))).cells["psnr_global"]
    assert math.isfinite(identical.interval.mean) and identical.infinite == 3
    pair = averaged(SubjectScores(gappy[None], np.array([[30.0, 20.0, np.nan, 20.0]])), identical.record)
    assert np.isnan(pair.a).tolist() == np.isnan(pair.b).tolist() == [[False, True, True, False]]


def test_a_metric_that_is_not_here_keeps_its_number_and_is_not_compared() -> None:
    how: dict[str, Any] = {"metric": "worst-frame", "averaging": "the worst frame", "video_score": 12.5}
    one, other = (measured(SCORES, method=name, **how) for name in ("one", "other"))
    cell = Row(one).cells["worst-frame"]
    assert cell.interval.mean == 12.5 and math.isnan(cell.interval.low) and cell.reason == ""
    assert one.means == {"worst-frame": 12.5}
    (group,) = group_rows([one, other])
    assert any("not ranked, because its score of a video is no mean over frames" in note for note in score_notes(group))
    unknown = measured(SCORES, metric="worst-frame", averaging="the worst frame")
    assert "this metric is not here" in Row(unknown).cells["worst-frame"].reason


def test_a_run_that_names_a_file_as_its_metric_executes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of anybody: its record names a Python file that lies in the working folder."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for averaging, scores in (("the worst frame", SCORES), (RECORD["averaging"], np.full(80, np.nan))):
        (group,) = group_rows([measured(scores, "evil.py:Worst", averaging=averaging)])
        assert score_notes(group) and Row(group.rows[0].run).cells["evil.py:Worst"].reason
    assert not (tmp_path / "executed").exists()


class Worst(Metric):
    info = MetricInfo("worst", "1", "Worst", "higher", "1")
    backend = Backend("none")

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        return float(np.nanmin(scores)) if not np.isnan(scores).all() else math.nan


def test_the_record_says_that_a_metric_does_not_average(monkeypatch: pytest.MonkeyPatch) -> None:
    from emo_bench.metrics import Scorer, scoring

    monkeypatch.setattr(Worst, "score", lambda self, frames, reference: frames[:, 0, 0, 0].astype(float))
    monkeypatch.setattr(scoring, "metric_class", lambda name: Worst)
    scorer = Scorer(("worst",))
    scorer.add(np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3), np.zeros((2, 2, 2, 3), np.uint8))
    (record,) = scorer.records()
    assert (record.averaging, record.video_score) == ("the metric's own", 0.0)


def test_a_method_that_fails_on_the_hard_frames_does_not_win() -> None:
    """Face distances: `lost` has no score on the hard fifth of the frames, and is better on the easy ones."""
    hard = np.arange(80) >= 64
    whole = np.where(hard, 9.0, 3.0)
    lost = np.where(hard, np.nan, 2.5)
    few = np.where(np.arange(80) == 79, np.nan, 2.0)
    runs = [measured(scores, "flmd", name, **LANDMARKS) for name, scores in (("whole", whole), ("lost", lost))]
    (group,) = group_rows(runs)
    ranks = {row.run.manifest["title"]: found["flmd"] for row, found in group.ranked[0]}
    assert ranks == {"lost": None, "whole": 1}
    text = _group_table(group, Path("."))
    assert "F-LMD: frames scored" in text and "80 %" in text and "100 %" in text
    assert (
        "Actor 1, F-LMD: lost is not ranked, because it has a score on only 80 % of the frames" in score_notes(group)[0]
    )
    # One frame in eighty is a failure that is shown, and does not cost the rank.
    (group,) = group_rows([runs[0], measured(few, "flmd", "few", **LANDMARKS)])
    assert {row.run.manifest["title"]: found["flmd"] for row, found in group.ranked[0]} == {"few": 1, "whole": 2}
    assert score_notes(group) == [
        "Actor 1, F-LMD: ranked on the 79 of 80 frames on which all ranked rows have a score; few has none on 1. "
        "The printed means are over the frames of each row."
    ]
    content = report_content([group], LeftOut())["tables"][0]
    assert content["metrics"][0]["incomplete"] and content["rows"][0]["scores"]["flmd"]["scored_share"] == 79 / 80


def test_the_gate_takes_a_limit_for_lost_faces() -> None:
    """Three of eighty faces are lost: 3.75 %."""
    lost = (np.arange(80) < 3).astype(float)
    groups = group_seeds([Row(measured(lost, "face_lost", direction="lower", unit="1"))])
    for limit, passed in ((0.0375, True), (0.03, False)):
        thresholds = ThresholdFile(version=1, threshold=(Threshold(metric="face_lost", at_most=limit),))
        (outcome,) = check_runs(groups, thresholds, {})
        assert outcome.passed == passed and outcome.value == pytest.approx(3 / 80)
    thresholds = ThresholdFile(version=1, threshold=(Threshold(metric="flmd", at_most=9.0),))
    few = measured(np.where(np.arange(80) < 16, np.nan, 3.0), "flmd", **LANDMARKS)
    (outcome,) = check_runs(group_seeds([Row(few)]), thresholds, {})
    assert not outcome.passed and outcome.reason == "n/a on 16 of 80 frames: no face was found"


def test_runs_of_an_older_version_stand_apart_and_the_report_says_why() -> None:
    new: dict[str, Any] = {
        "frames": "0-79",
        "reference_sha256": "a",
        "masks_sha256": None,
        "captions": {},
        "conditions": {},
    }
    groups = group_rows([measured(SCORES, "psnr"), measured(SCORES, "psnr", **new)])
    said = ["scored by an older version" in "".join(group_notes(group)) for group in groups]
    assert len(groups) == 2 and sorted(said) == [False, True]


def test_compare_does_not_call_the_failing_side_better() -> None:
    hard = np.arange(80) >= 64
    lost = measured(np.where(hard, np.nan, 2.5), "flmd", "lost", **LANDMARKS)
    whole = measured(np.where(hard, 9.0, 3.0), "flmd", "whole", **LANDMARKS)
    (sides,) = sort_into_sides([Row(lost), Row(whole)]).values()
    a, b = sides.values()
    comparison = compare_sides(a, b)
    (result,) = comparison.results
    assert result.overall is not None and result.overall.high < 0 and result.overall.verdict == "undecided"
    assert fails_more(result.overall) and result.lacking == (16, 0)
    said = "\n".join(notes(comparison))
    assert "A has none on 16: no face was found" in said and "undecided, because the side that is better" in said
    worse = compare_videos(
        [SubjectScores(np.where(hard, np.nan, 4.0)[None], whole.scores["flmd"].to_numpy()[None])], RECORD | LANDMARKS
    )
    assert worse.verdict == "worse", "the side that fails may be worse"


def test_na_comes_with_its_reason_everywhere() -> None:
    nothing = np.full(80, np.nan)
    missing: dict[str, Any] = {
        "backend": {"name": "n/a", "sha256": None, "detail": "needs asset x; run: emo-bench assets fetch x"}
    }
    one = measured(nothing, "flmd", "none-found", **LANDMARKS)
    (group,) = group_rows([one, measured(SCORES, "flmd", "other", **LANDMARKS)])
    (absent,) = group_rows([measured(nothing, "lpips", "here", **missing)])
    said = "F-LMD is n/a for none-found (actor 1): no face was found."
    assert said in score_notes(group)
    assert score_notes(absent) == ["LPIPS is n/a for here (actor 1): needs asset x; run: emo-bench assets fetch x."]
    content = report_content([group, absent], LeftOut())
    assert said in content["tables"][0]["notes"]
    assert content["tables"][0]["rows"][0]["scores"]["flmd"]["reason"] == "no face was found"
    json.dumps(content, allow_nan=False)
    assert long_rows([group, absent])["reason"].tolist() == ["no face was found", "", missing["backend"]["detail"]]
    out = io.StringIO()
    print_tables([group], Console(file=out, width=400))
    assert said in out.getvalue()
    assert one.reasons == {"flmd": "no face was found"} == reasons(one.scores)
    assert math.isnan(video_scores(one.scores)["flmd"])


def test_a_note_of_many_actors_names_the_first_and_counts_the_others() -> None:
    """A report of 10,000 runs had a note of 23,000 letters here, and printed it below its table."""
    runs = []
    for number, name in [(n, f"row-{i}") for n in range(200) for i in range(10) if i < 2 or n == 7]:
        made = measured(np.full(80, np.nan), "flmd", name, **LANDMARKS)
        made.manifest["identity"] = made.manifest["identity"] | {"actor": {"name": f"person-{number}", "sha256": "a"}}
        runs.append(made)
    (group,) = group_rows(runs)
    first, *_ = score_notes(group)
    many = "(200 actors: person-0, person-1, person-2 and 197 more)"
    assert first == (
        f"F-LMD is n/a for row-0 {many}, row-1 {many}, row-2 (actor person-7) and 7 more rows: no face was found."
    )
    out = io.StringIO()
    print_tables([group], Console(file=out, width=400))
    assert first in out.getvalue() and "person-3" not in first
    assert first in report_content([group], LeftOut())["tables"][0]["notes"]
    few, *_ = score_notes(group_rows(runs[:12:2])[0])
    assert few.startswith("F-LMD is n/a for row-0 (actors person-0, person-1, person-2, person-3, person-4, person-5):")


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.8, "80 %"), (0.0, "0 %"), (0.987, "98.7 %")]
)
def test_only_all_frames_are_100_per_cent(share: float, text: str) -> None:
    assert percent(share) == text
