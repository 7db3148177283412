"""`emo-bench metrics check`: each broken promise is found, and a metric that keeps them passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emo_bench.actors import load
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.metrics.contract import check_metric

METRIC = """
import os
import numpy as np
from emo_bench.metrics import Backend, Metric, MetricInfo

class Error(Metric):
    info = MetricInfo("error_of_test", "1", "Mean error", "lower", "8-bit levels", takes_region=True)
    backend = Backend("numpy")
    def score_batch(self, batch):
        inside = np.ones(batch.frames.shape[:3], bool) if batch.region is None else batch.region
        error = np.abs(batch.frames.astype(float) - batch.reference).mean(axis=3)
        return (error * inside).sum(axis=(1, 2)) / inside.sum(axis=(1, 2))
"""
BODY = METRIC[METRIC.index("        inside") :]


def with_body(lines: str, info: str = "") -> str:
    return METRIC.replace(BODY, "".join(f"        {line}\n" for line in lines.split("\n"))).replace(
        ", takes_region=True", info
    )


# What the metric is, the check that must fail, and what it says.
BROKEN = {
    "float32": (with_body("return np.ones(len(batch), np.float32)"), "scores", "they are float32: return float64"),
    "complex": (with_body("return np.ones(len(batch), complex)"), "scores", "they must be real numbers"),
    "raises": (with_body("raise KeyError('mouth')"), "scores", "score_batch failed: KeyError: 'mouth'"),
    "no backend": (
        METRIC.replace('    backend = Backend("numpy")\n', ""), "info and backend are complete", "backend is None"
    ),
    "undefined": (
        with_body("return np.where(np.arange(len(batch)) == 0, np.nan, batch.reference.mean(axis=(1, 2, 3)))"),
        "every undefined score has a reason", "1 of 6 are NaN, and info.undefined does not say when",
    ),
    "random": (
        with_body("return np.frombuffer(os.urandom(4 * len(batch)), np.uint32).astype(float)"),
        "same frames, same scores", "the second scoring differs",
    ),
    "batch mean": (
        with_body("return np.full(len(batch), batch.reference.mean() + batch.frames[0].std())"),
        "same scores in other batches", "in batches of 1 the scores differ",
    ),
    "writes frames": (
        with_body("scores = batch.reference.mean(axis=(1, 2, 3))\nbatch.frames[:] = 0\nreturn scores"),
        "frames and reference are not changed", "it writes into the frames",
    ),
    "writes the reference": (
        with_body("scores = batch.reference.mean(axis=(1, 2, 3))\nbatch.reference[:] = 0\nreturn scores"),
        "frames and reference are not changed", "it writes into the reference",
    ),
    "needs arrays to write": (
        with_body("assert batch.frames.flags.writeable\nreturn batch.reference.mean(axis=(1, 2, 3))"),
        "frames and reference are not changed", "score_batch failed: AssertionError",
    ),
    "undefined and random in the last digits": (
        with_body(
            "scores = 100 + np.frombuffer(os.urandom(len(batch)), np.uint8) / 1e6\n"
            "scores[0] = np.nan\nreturn scores", ', undefined="at the start"'
        ),
        "same frames, same scores", "for frame ",
    ),
    "no reference used": (
        with_body("return batch.frames.mean(axis=(1, 2, 3))"), "needs_reference is true", "say needs_reference=False"
    ),
    "reference used": (
        METRIC.replace("takes_region=True", "needs_reference=False"), "scores", "score_batch failed: TypeError"
    ),
    "reference used if there is one": (
        with_body(
            "return (batch.frames if batch.reference is None else batch.reference).mean(axis=(1, 2, 3))",
            ", needs_reference=False",
        ).replace("batch.reference).mean", "255 - batch.reference).mean"),
        "needs_reference is true", "say optional_reference=True",
    ),
    "region": (
        METRIC.replace("/ inside.sum(axis=(1, 2))", "/ (1e4 if batch.region is None else 1e3)"),
        "takes_region is true", "in a region that is the whole frame the scores are others",
    ),
    "aggregate": (
        METRIC + "    @classmethod\n    def aggregate(cls, scores): return float(np.nan_to_num(scores).mean())\n",
        "one number of a video", "a frame without a score changes it",
    ),
    "aggregate fails": (
        METRIC + "    @classmethod\n    def aggregate(cls, scores): return scores\n",
        "one number of a video", "it must give one number",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack(list(load("1").frames(range(6), size=64)))


@pytest.mark.parametrize(("text", "check", "said"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_promise_is_found(text: str, check: str, said: str, faces: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(text, encoding="utf-8")
    failed = {found.name: found.detail for found in check_metric(f"{file}:Error", faces) if found.ok is False}
    names = [name for name in failed if name.startswith(check)]
    assert names and said in failed[names[0]], failed
    assert "nan and nan" not in failed[names[0]], "the frame that is named differs"


@pytest.mark.parametrize("name", ["psnr", "sd", "ssim", "niqe", "brisque", "warping_error", "flicker"])
def test_built_in_metrics_keep_their_promises(name: str, faces: np.ndarray) -> None:
    frames = np.stack(list(load("1").frames(range(6), size=192))) if name == "niqe" else faces
    assert not [check for check in check_metric(name, frames) if check.ok is False]


def test_the_command_says_each_check_and_how_it_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], actor: str
) -> None:
    file = tmp_path / "own.py"

    def ended(text: str, name: str = "Error") -> tuple[object, str, str]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit) as exit_info:
            main(["metrics", "check", f"{file}:{name}", "--actor", actor])
        return exit_info.value.code, *capfd.readouterr()

    code, out, _ = ended(METRIC)
    assert code == 0 and out.count("ok      ") == 9 and "FAILED" not in out
    assert out.startswith(
        "ok      info and backend are complete: error_of_test, version 1, lower is better, 8-bit levels, by numpy\n"
    )
    code, out, err = ended(with_body("raise KeyError('mouth')"))
    assert code == 1 and "FAILED  scores: float64, one per frame: metric error_of_test: score_batch failed" in out
    assert "Traceback" not in out + err
    code, _, err = ended(METRIC, "Absent")
    assert code == 2 and "has no class Absent; it has Error" in err and err.count("\n") == 1
    code, _, err = ended(METRIC + "    @classmethod\n    def missing(cls): return 'needs a GPU; buy one'\n")
    assert code == 2 and "metric error_of_test cannot be tried here: needs a GPU; buy one" in err


def test_frames_that_are_too_small_are_refused(faces: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"metric niqe needs frames of \d+ px or more, these have 64x64"):
        list(check_metric("niqe", faces))
