"""`emo-bench compare` on finished runs: sides, verdicts, clusters, seeds, and what must not be mixed."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from rich.console import Console

from emo_bench.runs.manifest import write_manifest
from emo_bench.statistics.differences import SubjectScores, compare_scores
from reports.compare.paired import compare_sides
from reports.compare.sides import pair_sides
from reports.compare.writing import print_comparison

QUICK = Path("quick/dot")


def seeded(number: int) -> Callable[[dict[str, Any]], None]:
    return lambda identity: identity.update(seed=number)


def test_two_runs(runs: Path, call: Any, derived: Any) -> None:
    """The numbers are those of the frames; the nearest frame is better than their mean on a disc that moves."""
    a, b = runs / QUICK / "nearest-frame/smoke-s0", runs / QUICK / "mean-frame/smoke-s0"
    code, out, err = call("compare", a, b, "--json")
    assert (code, err) == (0, "")
    (comparison,) = json.loads(out)["comparisons"]
    (psnr,) = [entry for entry in comparison["metrics"] if entry["metric"] == "psnr"]
    tables = [pandas.read_parquet(folder / "frames.parquet")["psnr"].to_numpy() for folder in (a, b)]
    assert psnr["difference"] == pytest.approx((tables[0] - tables[1]).mean())
    expected = compare_scores([SubjectScores(tables[0][None], tables[1][None])], "higher")
    assert (psnr["low"], psnr["high"], psnr["verdict"]) == (expected.low, expected.high, expected.verdict)
    assert comparison["a"]["name"] == "nearest-frame (smoke)"
    code, out, _ = call("compare", a, b)
    assert code == 0
    line = next(line for line in out.splitlines() if "PSNR" in line)
    assert f"{expected.verdict}" in line and f"{expected.difference:+.3f}"[:5] in line
    assert "SMOKE, not a result" in out and "one seed" not in out


def test_numbers_are_whole_on_a_narrow_terminal(runs: Path) -> None:
    """Columns are left out, and a line names them; no number is cut."""
    a, b = runs / QUICK / "nearest-frame/smoke-s0", runs / QUICK / "mean-frame/smoke-s0"
    pairs, _ = pair_sides([a, b], None)
    comparison = compare_sides(*pairs[0], 0.95)

    def rows(width: int) -> tuple[list[list[str]], str]:
        out = io.StringIO()
        print_comparison(comparison, Console(file=out, width=width))
        text = out.getvalue()
        assert "…" not in text
        lines = [line for line in text.splitlines() if re.search("^│ (PSNR|SSIM|SD)", line)]
        assert len({len(line) for line in lines}) == 1
        return [re.findall(r"[-+]?\d+\.\d{2,}|better|worse|undecided", line) for line in lines], text

    wide, text = rows(160)
    assert len(wide) == 3 and all(len(row) == 7 for row in wide), "A, B, A - B, low, high, effect, verdict"
    assert "too narrow" not in text
    narrow, text = rows(80)
    assert narrow in (wide, [[*row[:5], row[-1]] for row in wide])
    assert "this terminal is too narrow for: frames, A wins" in text
    assert max(len(line) for line in text.splitlines() if line.startswith(("│", "┃", "┏", "└"))) <= 80
    assert rows(40)[0] == [[*row[:5], row[-1]] for row in wide]


def test_a_run_with_itself_is_undecided(runs: Path, call: Any, derived: Any) -> None:
    folder = runs / QUICK / "nearest-frame/smoke-s0"
    copy = derived(folder, runs.parent / "again")
    metrics = json.loads(call("compare", folder, copy, "--json")[1])["comparisons"][0]["metrics"]
    assert {(m["metric"], m["difference"], m["verdict"]) for m in metrics} == {
        (name, 0.0, "undecided") for name in ("psnr", "ssim", "sd")
    }


def test_one_seed_says_so_unless_nothing_is_drawn(runs: Path, call: Any, derived: Any) -> None:
    def fitted(known: dict[str, Any]) -> None:
        known["method"] = "mine"

    mine = derived(runs / QUICK / "nearest-frame/smoke-s0", runs.parent / "mine", fitted)
    _, out, _ = call("compare", mine, runs / QUICK / "mean-frame/smoke-s0")
    assert "A has one seed: the verdict is about these fitted avatars" in out


def test_folders_pair_namesakes(runs: Path, call: Any, derived: Any) -> None:
    before = Path(shutil.copytree(runs, runs.parent / "before"))
    found = json.loads(call("compare", before, runs, "--json")[1])["comparisons"]
    assert len(found) == 4  # two methods at two resolutions
    assert {str(before) in c["a"]["name"] and str(runs) in c["b"]["name"] for c in found} == {True}
    found = json.loads(call("compare", before, runs, "--method", "mean-*", "--json")[1])["comparisons"]
    assert len(found) == 2


def test_actors_are_clusters_and_seeds_give_a_spread(runs: Path, call: Any, derived: Any) -> None:
    rng = np.random.default_rng(0)
    given = []
    for method, gain in (("nearest-frame", 1.0), ("mean-frame", 0.0)):
        for actor in ("dot", "dash", "comma"):
            for seed in (0, 1):

                def identity(known: dict[str, Any], actor: str = actor, seed: int = seed) -> None:
                    known["actor"] = {"name": actor, "sha256": actor}
                    known["seed"] = seed

                def scores(table: pandas.DataFrame, gain: float = gain, seed: int = seed) -> None:
                    table["psnr"] = 30 + gain + 0.2 * seed + 0.01 * rng.normal(size=len(table))

                source = runs / QUICK / method / "smoke-s0"
                given.append(derived(source, runs.parent / f"{method}-{actor}-{seed}", identity, scores))
    found = json.loads(call("compare", *given, "--json")[1])["comparisons"][0]
    psnr = next(m for m in found["metrics"] if m["metric"] == "psnr")
    assert found["actors"] == ["dot", "dash", "comma"]
    assert (psnr["verdict"], psnr["subjects"], psnr["seeds_a"], psnr["n"]) == ("better", 3, 2, 36)
    assert psnr["difference"] == pytest.approx(1.0, abs=0.02)
    assert psnr["spread_a"] == pytest.approx(0.2 / np.sqrt(2), abs=0.02)
    assert psnr["by_actor"].keys() == {"dot", "dash", "comma"}
    code, out, _ = call("compare", *given, "--per-actor")
    assert code == 0
    assert "actors like these 3" in out and "standard deviation between seeds" in out and "  dash" in out
    # With the same actor, method and seed twice the sides are not clear.
    code, _, err = call("compare", *given, derived(given[0], runs.parent / "twice"))
    assert code == 2 and "same method, settings, profile, actor and seed" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda known: known["protocol"].update(hash="0" * 64), "protocol hash: "),
        (lambda known: known["split"].update(name="random-12"), "split: 'tail-12' and 'random-12'"),
        (lambda known: known["split"].update(sha256="0" * 64), "split sha256"),
        (lambda known: known.update(resolution_px=32), "resolution_px: 64 and 32"),
        (lambda known: known["actor"].update(name="dash"), "actor: 'dot' and 'dash'"),
    ],
)
def test_what_must_not_be_mixed_is_refused(change: Any, reason: str, runs: Path, call: Any, derived: Any) -> None:
    folder = runs / QUICK / "nearest-frame/smoke-s0"
    other = derived(runs / QUICK / "mean-frame/smoke-s0", runs.parent / "other", change)
    code, out, err = call("compare", folder, other)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err
    third = derived(folder, runs.parent / "third", seeded(1))
    code, out, err = call("compare", folder, third, other)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err


def test_a_metric_of_another_backend_is_set_apart(runs: Path, call: Any, derived: Any) -> None:
    folder = runs / QUICK / "nearest-frame/smoke-s0"
    other = derived(runs / QUICK / "mean-frame/smoke-s0", runs.parent / "other")
    manifest = json.loads((other / "run.json").read_text())
    records = manifest["stages"]["score"]["records"]
    records["ssim"]["backend"] = {"name": "another", "sha256": None, "detail": ""}
    records["sd"]["backend"] = {"name": "n/a", "sha256": None, "detail": "needs asset x"}
    write_manifest(other, manifest)
    metrics = {
        m["metric"]: m for m in json.loads(call("compare", folder, other, "--json")[1])["comparisons"][0]["metrics"]
    }
    assert "verdict" in metrics["psnr"]
    assert "verdict" not in metrics["ssim"] and "backend name" in metrics["ssim"]["reason"]
    assert "needs asset x" in metrics["sd"]["reason"]
    records["psnr"]["version"] = "0"
    write_manifest(other, manifest)
    code, out, err = call("compare", folder, other)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no comparable metric" in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["absent"], "absent: no such folder"),
        (["absent", "absent2"], "no such folder"),
        (["absent", "--method", "x"], "needs two folders"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str, call: Any) -> None:
    code, out, err = call("compare", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
