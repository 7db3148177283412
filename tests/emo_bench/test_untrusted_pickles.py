"""Pickles that anybody may have made: nothing runs, no pointer is followed, no length is believed."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from emo_bench.errors import UserError
from emo_bench.untrusted.refusal import reading, reason_of, short, shown
from emo_bench.untrusted.torch_archive import read_torch
from tests.emo_bench.pickle_opcodes import PROTO, STOP, bombs, lying_values, payloads, pickled
from tests.emo_bench.untrusted_doors import (
    DOORS,
    GOOD_HEADER,
    little_memory,
    npy,
    read_array,
    read_prior,
    refusal,
    torch_zip,
)

ROOT = Path(__file__).resolve().parents[2]
PLAIN = np_st.integer_dtypes() | np_st.unsigned_integer_dtypes() | np_st.floating_dtypes() | np_st.boolean_dtypes()
ARRAYS = np_st.arrays(PLAIN, np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("way", payloads("x"))
def test_nothing_in_a_pickle_runs(door: str, way: str, tmp_path: Path) -> None:
    wrap, read = DOORS[door]
    ran, path = tmp_path / "ran", tmp_path / "file.npy"
    path.write_bytes(wrap(payloads(f"touch {ran}")[way]))
    refusal(read, path)
    assert not ran.exists()


def test_the_payloads_are_live(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for way in ("REDUCE", "INST", "OBJ", "STACK_GLOBAL", "eval", "subprocess"):
        done = pickle.loads(payloads(f"touch {ran}")[way])
        if way == "subprocess":
            done.wait()
        assert ran.exists(), way
        ran.unlink()


# In a process of its own: a reader that follows a pointer of the file would end this one.
CHILD = """
import sys
from pathlib import Path
from emo_bench.errors import UserError
import numpy as np
from emo_bench.untrusted.torch_archive import read_torch
from emo_avatar.checkpoints import load_stylegan2

def use(value):
    for part in value.values():
        repr(part), str(part), repr(np.asarray(part).tolist())

READ = {"torch": lambda p: use(read_torch(p, "file")), "prior": load_stylegan2}
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        READ[path.suffix[1:]](path)
        print(path.name, "was read", flush=True)
    except UserError as error:
        print(path.name, "refused:", error, flush=True)
"""


def test_types_that_hide_pointers_never_reach_numpy(tmp_path: Path) -> None:
    count = 0
    for name, value in lying_values().items():
        for door, (wrap, _) in DOORS.items():
            (tmp_path / f"{name}.{door}").write_bytes(wrap(pickled({"value": value})))
            count += 1
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == count
    assert [line for line in lines if " refused: " not in line] == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("bomb", bombs())
def test_bombs_are_refused_at_once_and_in_little_memory(door: str, bomb: str, tmp_path: Path) -> None:
    wrap, read = DOORS[door]
    path = tmp_path / "file"
    path.write_bytes(wrap(bombs()[bomb]))
    # Lists and None, which only a prior must not be.
    if bomb in ("deep lists", "a memo of 4 billion") and door != "prior":
        read(path)
    else:
        refusal(read, path)


@pytest.mark.parametrize("door", DOORS)
def test_operations_are_counted(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.untrusted.budget.MOST_OPERATIONS", 1000)
    wrap, read = DOORS[door]
    path = tmp_path / "file"
    path.write_bytes(wrap(PROTO + b"N0" * 600 + b"N" + STOP))
    assert "more than 1,000 operations" in refusal(read, path)


def test_a_length_that_a_pickle_claims_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for bomb in (name for name in bombs() if "GB" in name or "billion" in name or "copied" in name):
        for wrap, read in DOORS.values():
            path.write_bytes(wrap(bombs()[bomb]))
            with little_memory(), contextlib.suppress(UserError):
                read(path)


@quick
@given(st.dictionaries(st.text(max_size=5), ARRAYS | st.floats(allow_nan=False) | st.text(max_size=9), max_size=4))
def test_pickled_dictionaries_of_arrays_are_read_as_numpy_reads_them(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "content.pt"
    path.write_bytes(torch_zip(pickle.dumps(content)))
    found = read_torch(path, "file")
    assert found.keys() == content.keys()
    for name, value in content.items():
        if isinstance(value, np.ndarray):
            given_back = np.asarray(found[name])
            assert given_back.dtype == value.dtype
            np.testing.assert_array_equal(given_back, value)
        else:
            assert found[name] == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_scalars_and_containers_of_a_pickle(tmp_path: Path, protocol: int) -> None:
    content = {
        "scalar": np.float32(1.5),
        "big-endian": np.arange(3, dtype=">i4"),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 5)),
        "text": np.str_("münze"),
        "ordered": OrderedDict(a=1),
        "set": {"a", "b"},
        "nested": [(1, 2.5, None, True, b"bytes", "text", 1 << 70)],
    }
    path = tmp_path / "file.pt"
    path.write_bytes(torch_zip(pickle.dumps(content, protocol)))
    found = read_torch(path, "file")
    for name in ("scalar", "text", "ordered", "set", "nested"):
        assert found[name] == content[name], name
    for name in ("big-endian", "columns first", "empty"):
        np.testing.assert_array_equal(np.asarray(found[name]), content[name])
        assert np.asarray(found[name]).dtype == content[name].dtype  # type: ignore[attr-defined]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    for _, read in DOORS.values():
        assert "not a regular file" in refusal(read, tmp_path / "pipe.npy")
        assert "No such file" in refusal(read, tmp_path / "missing.npy")
        refusal(read, tmp_path)


def test_lines_are_short_and_printable() -> None:
    hostile = "\x1b[31m\u202e" + "x" * 1_000_000 + "\n"
    assert len(short(hostile)) < 200 and short(hostile).isprintable()
    for value in (hostile, hostile.encode(), 10**6000, [[hostile]], {hostile: 1}, float("nan"), "\ud800"):
        assert len(shown(value)) < 200 and shown(value).isprintable()
        assert len(reason_of(ValueError(value))) < 200 and reason_of(ValueError(value)).isprintable()
    assert reason_of(ValueError("")) == "ValueError"
    assert reason_of(KeyError("x")) == "it refers to something that the file does not hold"


@pytest.mark.parametrize("error", [
    MemoryError(), RecursionError(), OverflowError("x"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    struct.error("x"), zipfile.BadZipFile("x"),
])  # fmt: skip
def test_whatever_a_parser_raises_is_one_line(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with (
        pytest.raises(UserError, match=r"file cannot be read as a thing \(.+\); do this$"),
        reading(path, "thing", "; do this"),
    ):
        raise error
    with pytest.raises(UserError, match="file: no good"), reading(path, "thing"):
        raise UserError("no good")


def seeds(folder: Path) -> dict[str, bytes]:
    """A small good file for each door."""
    content = {"coeffs": np.arange(4, dtype=np.float32), "bbox": [np.float64(1), (2, "x")], "more": {"a": {1, 2}}}
    made = io.BytesIO()
    torch.save({"g_ema": {"a": torch.arange(6.0).reshape(2, 3)}, "n": OrderedDict(b=torch.ones(2).half())}, made)
    old = io.BytesIO()
    torch.save({"a": torch.arange(6)}, old, _use_new_zipfile_serialization=False)
    return {
        "pickle": pickle.dumps(content, 4),
        "torch": made.getvalue(),
        "older torch": old.getvalue(),
        "plain": npy(GOOD_HEADER),
    }


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    kind, seed = data.draw(st.sampled_from(sorted(seeds(tmp_path).items())))
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(("byte", "cut", "double", "insert"))):
            case "byte":
                changed[at] = data.draw(st.integers(0, 255))
            case "cut":
                del changed[at : at + data.draw(st.integers(1, 9))]
            case "double":
                changed[at:at] = changed[at : at + 20]
            case "insert":
                changed[at:at] = data.draw(st.binary(max_size=5))
        if not changed:
            return
    path = tmp_path / "1.npy"
    path.write_bytes(changed)
    read = {"pickle": read_prior, "plain": read_array}.get(kind, lambda path: read_torch(path, "file"))
    try:
        read(path)
    except UserError as error:
        line = str(error)
    else:
        return
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
