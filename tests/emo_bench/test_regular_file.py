"""A regular file is read whole, with memory for what it holds and not for what it might hold."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.untrusted.regular_file import read_regular


def test_a_small_file_needs_little_memory_whatever_the_limit_is(tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    path.write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        assert read_regular(path, 2**29) == b"x" * 1000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 4999, 5000])
def test_a_file_of_at_most_the_limit_is_read(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    assert read_regular(path, 5000) == bytes(size)


def test_a_file_that_is_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5001))
    with pytest.raises(UserError, match="is larger than"):
        read_regular(path, 5000)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="no /proc on this system")
def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    """Files of /proc are regular and have the size 0."""
    path = Path("/proc/self/mountinfo")
    whole = path.read_bytes()
    assert path.stat().st_size == 0 and len(whole) > 1
    assert read_regular(path, 2**20) == whole
    with pytest.raises(UserError, match="is larger than"):
        read_regular(path, len(whole) - 1)
