"""Metrics of other people, in a file or installed: each mistake is one line, and records tell files apart."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_bench.cli import main
from emo_bench.errors import MethodError, UserError
from emo_bench.metrics import Scorer, list_metrics, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.comparability import difference, require_comparable
from emo_bench.metrics.registry import metric_class, scored_class
from emo_bench.plug_ins import loading

METRIC = """
import numpy as np
from emo_bench.metrics import Backend, Metric, MetricInfo
from beside_metric import SCALE

class Mean(Metric):
    info = MetricInfo("mean_level", "1", "Mean level", "higher", "8-bit levels", needs_reference=False)
    backend = Backend("numpy", detail=np.__version__)

    def score(self, frames, reference):
        return SCALE * frames.mean(axis=(1, 2, 3))
"""
INFO = METRIC[METRIC.index("    info =") : METRIC.index("    backend")]
SCORE = METRIC[METRIC.index("    def score") :]
BACKEND = METRIC[METRIC.index("    backend") : METRIC.index("\n    def score")]
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)

# What the file holds, and what the line about it says.
MISTAKES = {
    "x = ((": r"mine\.py cannot be imported: SyntaxError.*mine\.py:1\)",
    "import sys; sys.exit(3)": r"SystemExit: 3 \(.*mine\.py:1\)",
    "raise ValueError('two\\nlines')": r"ValueError: two lines \(.*mine\.py:1\)",
    "import no_such_module": r"No module named 'no_such_module' \(.*mine\.py:1\)",
    "class Mean: ...": "Mean is not a subclass of emo_bench.metrics.Metric",
    METRIC.replace("class Mean", "class Other"): "has no class Mean; it has Other",
    METRIC.replace(INFO, ""): r"Mean\.info is not an emo_bench\.metrics\.MetricInfo",
    METRIC.replace(INFO, "    info = 'mean'\n"): r"Mean\.info is not an emo_bench\.metrics\.MetricInfo",
    METRIC.replace(SCORE, ""): "Mean lacks score",
    METRIC.replace("def score(self", "@abstractmethod\n    def more(self): ...\n    def score(self")
    .replace("import numpy", "from abc import abstractmethod\nimport numpy"): "Mean lacks more",
    METRIC.replace('"mean_level"', '"psnr"'): "'psnr' is the id of a metric of emo-bench: give yours another info.id",
    METRIC.replace('"mean_level"', '"a,b"'): r"info\.id is 'a,b': use letters, digits",
    METRIC.replace('"mean_level"', "7"): r"info\.id is 7: use letters, digits",
    METRIC.replace('"1"', "1"): r"info\.version is 1; it must be one line of text, not empty",
    METRIC.replace('"higher"', '"up"'): r"info\.direction is 'up'; it must be 'higher' or 'lower'",
    METRIC.replace('"8-bit levels"', '""'): r"info\.unit is ''; it must be one line of text, not empty",
    METRIC.replace('"Mean level"', '"two\\nlines"'): r"info\.title is 'two\\nlines'; it must be one line",
    METRIC.replace("=False", "='no'"): r"info\.needs_reference is 'no'; it must be True or False",
    METRIC.replace("=False", "=False, least_px=0"): r"info\.least_px is 0; it must be a whole number of 1 or more",
    METRIC.replace("=False", "=False, captions=('prompt',)"): r"info\.captions is \('prompt',\); it must be a tuple of",
    METRIC.replace("=False", "=False, least_px=True"): r"info\.least_px is True; it must be a whole number",
    METRIC.replace("=False", "=False, fallback='psnrr'"): r"info\.fallback is 'psnrr'; it must be the id of another",
    METRIC.replace("=False", "=False, fallback=[1]"): r"info\.fallback is \[1\]; it must be the id of another",
    METRIC.replace("    backend", "    divisible = 'yes'\n    backend"): r"Mean\.divisible is 'yes'",
}  # fmt: skip
# What the class does when it is used, and what the line about it says.
FAILURES = {
    METRIC.replace(BACKEND, ""): "metric mean_level: backend is None; it must be an emo_bench.metrics.Backend",
    METRIC.replace('Backend("numpy"', "Backend(None"): "backend.name is None; it must be text",
    METRIC.replace("detail=", "sha256="): "backend.sha256 is '2.*'; it must be hexadecimal digits",
    METRIC + "\n    @classmethod\n    def open(cls, settings): return 7\n": "open gives int; it must give the metric",
    METRIC + "\n    def __init__(self, device): raise OSError('no model')\n": "metric mean_level: open failed: OSError",
    METRIC
    + "\n    @classmethod\n    def missing(cls): return 1 / 0\n": "missing failed: ZeroDivisionError.*mine.py:14",
    METRIC + "\n    @classmethod\n    def missing(cls): return True\n": "missing gives True; it must give one line",
    METRIC.replace("return SCALE *", "return 1j *"): "gives scores of type complex128; they must be real numbers",
    METRIC.replace("return SCALE *", "return 'x' or"): r"gives scores of shape \(\) for 4 frames",
    METRIC.replace("return SCALE *", "return ['x'] * 4 or"): "gives scores of type <U1; they must be real numbers",
    METRIC.replace("return SCALE *", "return [None] * 4 or"): "gives scores of type object; they must be real numbers",
    METRIC.replace("return SCALE *", "return [True] * 4 or"): "gives scores of type bool; they must be real numbers",
    METRIC.replace("(1, 2, 3)", "(1, 2)"): r"gives scores of shape \(4, 3\) for 4 frames",
    METRIC.replace("return SCALE *", "return {}['mouth'] or"): "score_batch failed: KeyError: 'mouth'",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("beside_metric", None)
    (tmp_path / "beside_metric.py").write_text("SCALE = 1\n")
    made = tmp_path / "mine.py"
    made.write_text(METRIC)
    return made


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=list(MISTAKES.values()))
def test_a_mistake_in_the_file_is_one_line(text: str, message: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        Scorer([f"{file}:Mean"])
    assert "\n" not in str(caught.value) and not isinstance(caught.value, MethodError)


@pytest.mark.parametrize(("text", "message"), FAILURES.items(), ids=list(FAILURES.values()))
def test_a_metric_that_breaks_its_promise_is_one_line(text: str, message: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MethodError, match=message) as caught:
        score(FRAMES, metrics=(f"{file}:Mean",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}", r"name its class, as in .*mine\.py:Mean; it has Mean"),
        ("missing.py:Mean", "missing.py is not a file; name a metric as path/to/file.py:Class"),
        ("flmdd", r"there is no metric 'flmdd' .*did you mean flmd\?"),
        ("", r"there is no metric ''"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, message: str, file: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        score(FRAMES, metrics=(name.format(file=file),))
    assert "\n" not in str(caught.value)


def test_scores_of_another_version_of_a_file_are_not_ranked_with_the_first(file: Path) -> None:
    name = f"{file}:Mean"
    tables = [score(FRAMES, metrics=(name,))]
    # As long as the old text, and written in the same second.
    other = METRIC.replace("SCALE *", "7.000 *").replace("from beside_metric import SCALE", "SCALE = 7" + " " * 22)
    assert len(other) == len(METRIC)
    file.write_text(other, encoding="utf-8")
    tables.append(score(FRAMES, metrics=(name,)))
    means = FRAMES.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(tables[0]["mean_level"], means)
    np.testing.assert_allclose(tables[1]["mean_level"], 7 * means)
    first, second = (table.attrs["records"]["mean_level"] for table in tables)
    assert len(first["file_sha256"]) == 64 and first["file_sha256"] != second["file_sha256"]
    assert "metric's file (SHA-256)" in str(difference(first, second))
    with pytest.raises(UserError, match="cannot be ranked together"):
        require_comparable([first, second])
    # A record that was written before files had a place in it is of one kind with a built-in metric's.
    plain = score(FRAMES, FRAMES, metrics=("psnr",)).attrs["records"]["psnr"]
    assert "file_sha256" not in plain and difference(plain, dict(plain)) is None


@pytest.mark.parametrize("name", ["frames", "reference", "batch.before.frames"])
def test_a_metric_that_writes_into_its_frames_is_one_line_and_changes_nothing(name: str, file: Path) -> None:
    line = f"        {name}[:] = 0\n"
    if "before" in name:
        line = f"        if batch.before is not None: {name}[:] = 0\n"
    own = METRIC.replace("def score(self, frames, reference):\n", f"def score_batch(self, batch):\n{line}")
    own = own.replace(
        f"        {name}", f"        frames, reference = batch.frames, batch.reference\n        {name}", 1
    )
    own = own.replace("        if batch.", "        frames = batch.frames\n        if batch.", 1)
    file.write_text(own, encoding="utf-8")
    frames, reference = FRAMES.copy(), FRAMES[::-1].copy()
    with pytest.raises(MethodError, match=r"score_batch failed: ValueError: .*read-only \(.*mine\.py:\d+\)") as caught:
        score(frames, reference, metrics=(f"{file}:Mean", "psnr"), batch=2)
    assert "\n" not in str(caught.value)
    assert np.array_equal(frames, FRAMES) and np.array_equal(reference, FRAMES[::-1])
    assert frames.flags.writeable and reference.flags.writeable


def test_a_plug_in_shares_the_kept_results_and_gets_the_region_read_only() -> None:
    region = np.ones(FRAMES.shape[:3], bool)
    batch = Batch(FRAMES.copy(), region=region)
    view = batch.read_only()
    assert view.once("key", lambda: 1) == 1 and batch.once("key", lambda: 2) == 1
    assert view.region is not None and not view.region.flags.writeable and region.flags.writeable
    assert np.shares_memory(view.frames, batch.frames) and view.indices == batch.indices


def test_two_metrics_of_one_id_share_no_table(file: Path) -> None:
    other = file.with_name("other.py")
    other.write_text(METRIC)
    with pytest.raises(UserError, match="two metrics have the id 'mean_level'"):
        Scorer([f"{file}:Mean", f"{other}:Mean"])
    assert Scorer([f"{file}:Mean", f"{file}:Mean", "brisque"]).metrics[:1] == ("mean_level",)


def test_score_takes_a_file_and_uses_its_own_aggregate(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    file.write_text(METRIC + "\n    @classmethod\n    def aggregate(cls, scores): return 4321.0\n", encoding="utf-8")
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    with pytest.raises(SystemExit) as ended:
        main(["score", str(tmp_path / "frames"), "--metrics", f"{file}:Mean", "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "mean_level  4321.0000  8-bit levels" in out
    assert json.loads((tmp_path / "out" / "records.json").read_text())["records"]["mean_level"]["file_sha256"]
    # The class is known by its id as long as the process lives, and is no metric of another.
    assert scored_class("mean_level").info.title == "Mean level"
    with pytest.raises(UserError, match="there is no metric 'mean_level'"):
        metric_class("mean_level")


def test_an_aggregate_that_is_no_number_is_one_line(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    file.write_text(METRIC + "\n    @classmethod\n    def aggregate(cls, scores): return 1j\n", encoding="utf-8")
    (tmp_path / "frames").mkdir()
    Image.fromarray(FRAMES[0]).save(tmp_path / "frames" / "0.png")
    with pytest.raises(SystemExit) as ended:
        main(["score", str(tmp_path / "frames"), "--metrics", f"{file}:Mean"])
    err = capsys.readouterr().err
    assert ended.value.code == 1 and "metric mean_level: aggregate gives 1j; it must give one number" in err


BROKEN = {
    "absent": ("no_such_package.metrics:Mean", "cannot be imported from no_such_package.metrics: ModuleNotFoundError"),
    "alias": ("mine:Mean", "metric alias: mine:Mean calls itself 'mean_level'"),
    "attribute": ("mine:Nothing", "mine has no class Nothing; it has Mean"),
    "failing": ("failing_missing:Mean", "metric failing: missing failed: ZeroDivisionError: division by zero"),
    "unopened": ("failing_open:Mean", "metric unopened: open failed: OSError: no model"),
    "silent": ("failing_exit:Mean", "cannot be imported from failing_exit: SystemExit: 0"),
}


@pytest.fixture
def broken_plug_ins(file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    own = METRIC.replace("mean_level", "{id}")
    texts = {
        "failing_missing": own.format(id="failing") + "\n    @classmethod\n    def missing(cls): return 1 / 0\n",
        "failing_open": own.format(id="unopened") + "\n    def __init__(self, device): raise OSError('no model')\n",
        "failing_exit": "import sys\nsys.exit(0)\n",
    }
    for name, text in texts.items():
        file.with_name(f"{name}.py").write_text(text)
    entries = [EntryPoint(name, place, "emo_bench.metrics") for name, (place, _) in BROKEN.items()]
    entries.append(EntryPoint("mean_level", "mine:Mean", "emo_bench.metrics"))
    entries.append(EntryPoint("psnr", "mine:Mean", "emo_bench.metrics"))
    monkeypatch.setattr(loading, "entry_points", lambda group: entries)
    monkeypatch.syspath_prepend(str(file.parent))
    yield
    for name in ("mine", *texts):
        sys.modules.pop(name, None)


def test_a_broken_installed_metric_is_a_row_that_says_why(broken_plug_ins: None) -> None:
    states = {state.id: state for state in list_metrics(with_backends=True)}
    for name, (_, said) in BROKEN.items():
        assert states[name].missing is not None and states[name].missing.startswith("broken: ")
        assert said in states[name].missing and "\n" not in states[name].missing
    assert states["absent"].info is None and states["failing"].info is not None
    assert states["mean_level"].missing is None and states["mean_level"].backend is not None
    assert states["psnr"].info is not None and states["psnr"].info.title != "Mean level", "no plug-in replaces ours"


def test_metrics_list_prints_the_others_and_no_traceback(
    broken_plug_ins: None, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (["metrics", "list"], ["metrics", "list", "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capfd.readouterr()
        assert ended.value.code == 0 and "Traceback" not in out + err and "no_such_package" in out
    rows = {row["id"]: row for row in json.loads(out)}
    assert rows["absent"]["info"] is None and rows["psnr"]["info"]["direction"] == "higher"
