"""The method of docs/tutorial.md is what the page says: short, a valid method, and trainable."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from emo_bench.cli import main
from emo_bench.runs import runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.runner import RunRequest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
MOST_LINES = 70


@pytest.fixture
def method(tmp_path: Path) -> str:
    """The method's name, over a copy of the page's code."""
    code = re.search(r"```python\n(# uv_unet\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert code
    file = tmp_path / "uv_unet.py"
    file.write_text(code.group(1))
    return f"{file}:UvUNet"


def test_the_method_has_as_many_lines_as_the_page_says(method: str) -> None:
    lines = [line for line in Path(method.rpartition(":")[0]).read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= 120
    assert f"The file has {len(lines)} lines without blank ones." in PAGE.read_text(encoding="utf-8")


def test_the_method_keeps_what_every_method_promises(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["methods", "check", method])
    answer = capsys.readouterr().out
    assert ended.value.code == 0, answer
    assert "killed in the fit, it goes on to the same frames" in answer
    assert {line.split()[0] for line in answer.splitlines()} == {"ok"}


def test_a_short_fit_learns_and_its_frames_are_scored(
    method: str, actor: str, protocol_file: str, tmp_path: Path
) -> None:
    settings = {"steps": "60", "resolution_px": "32"}
    request = RunRequest(
        method, actor, protocol_file, profile="smoke", runs_dir=tmp_path / "runs", device="cpu", settings=settings
    )
    learnt, mean, _ = (load_run(folder) for folder in runner.run(request))
    with (learnt.path / "train.csv").open() as file:
        losses = [float(row["l1"]) for row in csv.DictReader(file)]
    assert len(losses) == 60 and sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert learnt.manifest["described"]["parameters"] > 10_000
    assert learnt.scores["psnr"].mean() > 12 and mean.scores["psnr"].notna().all()
