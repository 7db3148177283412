"""docs/add-a-metric.md, followed literally: the class in it is scored, listed and recorded."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from emo_bench.cli import main
from emo_bench.metrics import Metric, list_metrics, registry, score
from emo_bench.plug_ins import loading

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-metric.md"


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Metric]:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    entry = re.search(r'^(\w+) = "my_package\.contrast:(\w+)"', PAGE.read_text(), re.MULTILINE)
    assert code is not None and entry is not None
    file = tmp_path / "documented_contrast.py"
    file.write_text(code[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    place = EntryPoint(entry[1], f"documented_contrast:{entry[2]}", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(loading, "entry_points", lambda group: [place])
    spec = importlib.util.find_spec("documented_contrast")
    assert spec is not None
    return registry.metric_class(entry[1])


def test_the_documented_metric_works(documented: type[Metric]) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    table = score(frames // 2, frames, metrics=("contrast", "psnr"), batch=3)
    expected = np.abs((frames // 2).std(axis=(1, 2, 3)) - frames.std(axis=(1, 2, 3)))
    np.testing.assert_allclose(table["contrast"], expected)
    assert table.attrs["records"]["contrast"]["backend"]["name"] == "numpy"
    assert documented.info.id in {state.info.id for state in list_metrics()}
    assert documented.aggregate(np.array([1.0, np.nan, 3.0])) == 2.0


def test_the_documented_file_is_scored_and_keeps_every_promise(
    tmp_path: Path, actor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    command = re.search(r"emo-bench (metrics check) my_package/(contrast\.py:\w+)", PAGE.read_text())
    assert code is not None and command is not None
    (tmp_path / "contrast.py").write_text(code[1], encoding="utf-8")
    name = f"{tmp_path}/{command[2]}"
    with pytest.raises(SystemExit) as ended:
        main([*command[1].split(), name, "--actor", actor])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "FAILED" not in out and out.count("ok  ") == 8
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    record = score(frames, frames, metrics=(name,)).attrs["records"]["contrast"]
    assert record["file_sha256"] == hashlib.sha256(code[1].encode()).hexdigest()
