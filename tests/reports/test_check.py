"""`emo-bench check`: what passes, what fails and by how much, what is a mistake, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest

from emo_bench.runs.manifest import write_manifest
from reports.gate.stored_scores import load_stored_scores
from reports.gate.thresholds import load_thresholds

RUN = Path("quick/dot/nearest-frame/smoke-s0")
MEAN = Path("quick/dot/mean-frame/smoke-s0")
HEADER = 'version = 1\nbaseline = "baseline.json"\n'
RELATIVE = HEADER + '[[threshold]]\nmethod = "nearest-frame"\nmetric = "*"\nallow_spreads = 1\n'


@pytest.fixture
def thresholds(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "thresholds.toml"
        file.write_text(text)
        return file

    return write


def absolute(limit: str, metric: str = "psnr", **selectors: str) -> str:
    chosen = "".join(f"{name} = {json.dumps(glob)}\n" for name, glob in selectors.items())
    return f"{HEADER}[[threshold]]\nmetric = {json.dumps(metric)}\n{chosen}{limit}\n"


def mean_psnr(folder: Path) -> float:
    return float(pandas.read_parquet(folder / "frames.parquet")["psnr"].mean())


def test_absolute_limits_are_on_the_mean(runs: Path, call: Any, thresholds: Any) -> None:
    mean = mean_psnr(runs / RUN)
    file = thresholds(absolute(f"at_least = {mean - 0.01}"))
    code, out, _ = call("check", "--thresholds", file, runs / RUN)
    assert code == 0 and "the threshold is met" in out
    file = thresholds(absolute(f"at_least = {mean + 0.25}\nat_most = {mean + 1}"))
    code, out, _ = call("check", "--thresholds", file, runs / RUN, "--json")
    assert code == 1
    failed, kept = json.loads(out)["outcomes"]
    assert (failed["passed"], kept["passed"], json.loads(out)["passed"]) == (False, True, False)
    assert (failed["value"], failed["worse_by"]) == (pytest.approx(mean), pytest.approx(0.25))
    assert "0.25 below" in failed["reason"]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("''", "threshold.0.metric: a metric's id is empty"),
        ("['psnr', ' ']", "threshold.0.metric: a metric's id is empty"),
        ("'mine/own.py:Mean'", "'mine/own.py:Mean' is a file: give the id of its metric"),
        ("[]", "threshold.0.metric: "),
        ("7", "threshold.0.metric: "),
    ],
)
def test_a_metric_that_no_run_can_have_is_one_line(
    metric: str, said: str, runs: Path, call: Any, thresholds: Any
) -> None:
    file = thresholds(f"{HEADER}[[threshold]]\nmetric = {metric}\nat_least = 1\n")
    code, _, err = call("check", "--thresholds", file, runs / RUN)
    assert code == 2 and said in err and err.count("\n") == 1


def test_a_misspelt_metric_gets_a_suggestion(runs: Path, call: Any, thresholds: Any) -> None:
    file = thresholds(f"{HEADER}[[threshold]]\nmetric = 'psnrr'\nat_least = 1\n")
    code, out, _ = call("check", "--thresholds", file, runs / RUN, "--json")
    assert code == 1 and json.loads(out)["outcomes"][0]["reason"].endswith("; did you mean psnr?")


def test_all_files_tell_the_same(runs: Path, call: Any, thresholds: Any, tmp_path: Path) -> None:
    file = thresholds(absolute("at_least = 900", method="mean-*") + "[[threshold]]\nmetric = 'sd'\nat_most = 900\n")
    junit, markdown = tmp_path / "out" / "check.xml", tmp_path / "out" / "check.md"
    code, out, _ = call(
        "check", "--thresholds", file, runs / "quick/dot/mean-frame/smoke-s0", runs / RUN,
        "--junit", junit, "--markdown", markdown,
    )  # fmt: skip
    assert code == 1
    assert "1 of 3 thresholds failed" in out and "FAIL mean-frame, actor dot, smoke: psnr" in out
    suites = ElementTree.parse(junit).getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("3", "1")
    cases = suites.findall("testsuite/testcase")
    assert len(cases) == 3
    (failure,) = suites.findall("testsuite/testcase/failure")
    assert "below 900" in str(failure.get("message"))
    text = markdown.read_text()
    assert text.startswith("### ❌ emo-bench check: 1 of 3 thresholds failed")
    assert text.count("| mean-frame, actor dot, smoke |") == 2 and "<summary>2 met</summary>" in text


def test_scores_are_stored_kept_and_updated(
    runs: Path, call: Any, derived: Any, thresholds: Any, tmp_path: Path
) -> None:
    file, baseline = thresholds(RELATIVE), tmp_path / "baseline.json"
    code, _, err = call("check", "--thresholds", file, runs / RUN)
    assert code == 2 and "--update" in err and err.count("\n") == 1
    code, out, _ = call("check", "--thresholds", file, runs / RUN, "--update")
    assert code == 0 and out.count(" new") == 3
    (stored,) = load_stored_scores(baseline).values()
    table = pandas.read_parquet(runs / RUN / "frames.parquet")
    np.testing.assert_allclose(stored.metrics["psnr"].scores[0], table["psnr"], rtol=1e-11)
    before = baseline.read_bytes()
    code, out, _ = call("check", "--thresholds", file, runs / RUN)
    assert code == 0 and "all 3 thresholds met" in out
    assert baseline.read_bytes() == before

    def worse(table: pandas.DataFrame) -> None:
        table["psnr"] -= 0.5

    other = derived(runs / RUN, runs.parent / "other", None, worse)
    code, out, _ = call("check", "--thresholds", file, other, "--json")
    assert code == 1
    (failed,) = [outcome for outcome in json.loads(out)["outcomes"] if not outcome["passed"]]
    assert (failed["metric"], failed["worse_by"]) == ("psnr", pytest.approx(0.5))
    assert failed["baseline"] == pytest.approx(mean_psnr(runs / RUN))
    code, out, _ = call("check", "--thresholds", file, other, "--update")
    line = next(line for line in out.splitlines() if " psnr " in line)
    assert code == 0 and "-0.5000" in line and line.endswith("worse") and "the same" in out
    assert call("check", "--thresholds", file, other)[0] == 0
    # A run that is better than the stored scores passes.
    assert call("check", "--thresholds", file, runs / RUN)[0] == 0


@pytest.mark.parametrize(
    ("allowance", "passes"),
    [
        ("allow = 0.6", True),
        ("allow = 0.4", False),
        ("allow_percent = 3", True),
        ("allow_percent = 1", False),
        ("allow = 0.3\nallow_percent = 1.2", True),
    ],
)
def test_allowances_add_up(allowance: str, passes: bool, runs: Path, call: Any, derived: Any, thresholds: Any) -> None:
    def settle(value: float) -> Callable[[pandas.DataFrame], None]:
        return lambda table: table.update(pandas.DataFrame({"psnr": value}, index=table.index))

    file = thresholds(absolute(allowance, method="nearest-frame"))
    first = derived(runs / RUN, runs.parent / "first", None, settle(25.0))
    then = derived(runs / RUN, runs.parent / "then", None, settle(24.5))
    assert call("check", "--thresholds", file, first, "--update")[0] == 0
    assert call("check", "--thresholds", file, then)[0] == (0 if passes else 1)


def test_the_tolerance_is_the_measured_spread(runs: Path, call: Any, derived: Any, thresholds: Any) -> None:
    """If stored seeds are 0.3 apart, another seed may be so too; with one stored seed it fails."""

    def seed(number: int, offset: float, name: str) -> Path:
        def scores(table: pandas.DataFrame) -> None:
            table["psnr"] = 25 + offset + 0.001 * np.arange(len(table))

        return Path(derived(runs / RUN, runs.parent / name, lambda known: known.update(seed=number), scores))

    file = thresholds(absolute("allow_spreads = 2", method="nearest-frame"))
    seeds = [seed(0, 0.3, "s0"), seed(1, 0.0, "s1"), seed(2, -0.3, "s2")]
    new = seed(3, -0.5, "s3")
    assert call("check", "--thresholds", file, seeds[0], "--update")[0] == 0
    assert call("check", "--thresholds", file, new)[0] == 1
    assert call("check", "--thresholds", file, *seeds, "--update")[0] == 0
    code, out, _ = call("check", "--thresholds", file, new, "--json")
    (outcome,) = json.loads(out)["outcomes"]
    assert code == 0
    assert outcome["allowed"] == pytest.approx(2 * 0.3 * np.sqrt(1 + 1 / 3), rel=1e-6)
    assert outcome["worse_by"] == pytest.approx(0.5)


def test_a_metric_that_is_not_there_fails(runs: Path, call: Any, derived: Any, thresholds: Any) -> None:
    def some_frames(table: pandas.DataFrame) -> None:
        table.iloc[:2, 0] = np.nan

    holed = derived(runs / RUN, runs.parent / "holed", None, some_frames)
    code, out, _ = call("check", "--thresholds", thresholds(absolute("at_least = 1")), holed)
    assert code == 1 and "psnr: n/a on 2 of 12 frames" in out
    file = thresholds(absolute("at_least = 1\nframes_share = 0.8"))
    assert call("check", "--thresholds", file, holed)[0] == 0
    file = thresholds(absolute("at_most = 1\nallow = 1", metric="lpips"))
    baseline = file.with_name("baseline.json")
    baseline.write_text('{"format": 1, "runs": []}')
    code, out, _ = call("check", "--thresholds", file, runs / RUN)
    assert code == 1 and "2 of 2 thresholds failed" in out
    assert "lpips: was not measured; the run has psnr, ssim, sd" in out
    manifest = json.loads((holed / "run.json").read_text())
    record = manifest["stages"]["score"]["records"]["ssim"]
    record["backend"] = {"name": "n/a", "sha256": None, "detail": "emo-bench assets fetch x"}
    write_manifest(holed, manifest)
    file = thresholds(absolute("at_least = 0", metric="ssim"))
    code, out, _ = call("check", "--thresholds", file, holed)
    assert code == 1 and "ssim: n/a: emo-bench assets fetch x" in out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda known: known["protocol"].update(hash="0" * 64), "another protocol hash"),
        (lambda known: known["actor"].update(sha256="0" * 64), "another actor sha256"),
        (lambda known: known["actor"].update(name="dash"), "no scores are stored for these runs"),
    ],
)
def test_stored_scores_of_something_else_fail(
    change: Any, reason: str, runs: Path, call: Any, derived: Any, thresholds: Any
) -> None:
    file = thresholds(RELATIVE)
    assert call("check", "--thresholds", file, runs / RUN, "--update")[0] == 0
    code, out, _ = call("check", "--thresholds", file, derived(runs / RUN, runs.parent / "other", change))
    assert code == 1 and out.count(f"{reason}: replace the stored scores with --update") == 3


def test_a_folder_of_runs_gives_stored_scores_too(runs: Path, call: Any, thresholds: Any) -> None:
    file = thresholds(RELATIVE)
    code, out, _ = call("check", "--thresholds", file, "--baseline", runs / "quick", runs / RUN)
    assert code == 0
    assert "note: scores are also stored for mean-frame, actor dot, smoke" in out


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (absolute("at_least = 1", method="emo-avatar"), "matches no run"),
        (absolute("at_least = 1", metric="lp*"), "metric = 'lp*' matches nothing"),
        (HEADER + '[[threshold]]\nmetric = "psnr"\nactor = ["dot", "dash"]\nat_least = 1\n', "actor = 'dash'"),
        (absolute(""), "needs one of"),
        (absolute("at_least = 2\nat_most = 1"), "at_least is above at_most"),
        (absolute("at_lest = 2"), "at_lest"),
        (HEADER + "[[threshold]]\nmetric = []\nat_least = 1\n", "threshold.0.metric"),
        (absolute("at_least = -inf"), "threshold.0.at_least"),
        (absolute("at_most = nan"), "threshold.0.at_most"),
        (absolute("allow = inf"), "threshold.0.allow"),
        ('version = 1\nbaseline = "\\u0000"\n', "null character"),
        (absolute("allow = -1"), "allow"),
        (HEADER, "threshold"),
        ("version = ", "cannot be read"),
        ('version = 1\n[[threshold]]\nmetric = "psnr"\nallow = 1\n', "--baseline"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    text: str, line: str, runs: Path, call: Any, thresholds: Any, tmp_path: Path
) -> None:
    report = tmp_path / "check.xml"
    code, out, err = call("check", "--thresholds", thresholds(text), "--junit", report, runs / RUN)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert not report.exists()


def test_an_unfinished_run_is_not_overlooked(runs: Path, call: Any, thresholds: Any) -> None:
    manifest = json.loads((runs / MEAN / "run.json").read_text())
    del manifest["stages"]["score"]
    write_manifest(runs / MEAN, manifest)
    code, _, err = call("check", "--thresholds", thresholds(absolute("at_least = 1")), runs)
    assert code == 2 and "is not finished" in err


def test_damaged_stored_scores_are_one_line(runs: Path, call: Any, thresholds: Any) -> None:
    file = thresholds(RELATIVE)
    for text in ("{", '{"format": 2}', '{"format": 1, "runs": [{"key": {}}]}'):
        file.with_name("baseline.json").write_text(text)
        code, out, err = call("check", "--thresholds", file, runs / RUN)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_gate_of_this_project_has_stored_scores_for_all_its_thresholds() -> None:
    file = load_thresholds(Path(__file__).parents[2] / "protocols" / "thresholds" / "smoke.toml")
    assert file.baseline is not None
    stored = {dict(key)["method"]: runs for key, runs in load_stored_scores(file.baseline).items()}
    assert stored.keys() == {"emo-avatar", "mean-frame", "nearest-frame"}
    for threshold in file.threshold:
        for method in threshold.method:
            for metric in threshold.metric:
                assert np.isfinite(stored[method].metrics[metric].scores).all()
