"""Tables of losses: what a killed training wrote too much is dropped, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.methods.training.loss_log import LossLog, cut_rows


@given(st.integers(0, 12), st.integers(-1, 14))
def test_resuming_equals_not_stopping(stopped_at: int, restored_to: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole.csv", Path(folder) / "parts.csv"
        write(whole, range(12))
        write(parts, range(stopped_at))
        restored_to = max(0, min(restored_to, stopped_at))
        write(parts, range(restored_to, 12))
        assert parts.read_bytes() == whole.read_bytes()
        assert not list(Path(folder).glob("*.part"))


def write(path: Path, steps: range) -> None:
    log = LossLog(path, steps.start)
    for step in steps:
        log.add(step, {"l1": 1 / (step + 1)})
    log.close()


def test_rows_are_cut_by_a_named_column(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    assert cut_rows(path, "images", 5) == 0 and not path.exists()
    path.write_text("seconds,images\n9,4\n8,5\n1,6\n")
    assert cut_rows(path, "images", 5) == 2
    assert path.read_text().splitlines() == ["seconds,images", "9,4", "8,5"]
    assert cut_rows(path, "images", 3) == 0 and not path.exists()


@pytest.mark.parametrize("content", [b"step,l1\nx,1\n", b"other\n1\n", b"\xff\xfe\x00", b'step\n"'])
def test_a_damaged_table_is_begun_anew(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    write(path, range(5, 7))
    assert "train.csv is damaged" in caplog.text
    assert [line.partition(",")[0] for line in path.read_text().splitlines()] == ["step", "5", "6"]
