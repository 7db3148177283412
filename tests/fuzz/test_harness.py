"""The fuzzer finds what it must find: a reader that crashes, hangs, fills memory, raises or babbles is caught in the
act.
"""

from __future__ import annotations

import json
import os
import signal
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from emo_bench.errors import UserError
from tests.fuzz import byte_changes, container_changes, value_changes
from tests.fuzz.campaign import Budget, fuzz, input_of
from tests.fuzz.children import Limits
from tests.fuzz.judging import BAD_LINE, CRASH, LONGEST_LINE, MEMORY, RAW, READ, REFUSED, SLOW, judge, line_fault
from tests.fuzz.reader import Place, Reader

LIMITS = Limits(cpu_s=0.4, memory_mib=256)


def raising(error: BaseException) -> Callable[[], object]:
    def door() -> None:
        raise error

    return door


@pytest.mark.parametrize(
    ("doors", "outcome"),
    [
        ([lambda: 1], READ),
        ([raising(UserError("it is damaged: give another"))], REFUSED),
        ([raising(UserError("it is damaged")), lambda: 1], READ),
        ([raising(KeyError("x")), raising(UserError("y"))], RAW),
        ([raising(SystemExit(0))], RAW),
        ([raising(UserError(""))], BAD_LINE),
        ([raising(MemoryError())], MEMORY),
        ([raising(RuntimeError("DefaultCPUAllocator: can't allocate memory"))], MEMORY),
    ],
)
def test_the_worst_of_all_doors_counts(doors: Sequence[Callable[[], object]], outcome: str) -> None:
    assert judge(doors).outcome == outcome


def test_a_refusal_for_want_of_memory_is_no_refusal() -> None:
    def door() -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise UserError("it is damaged") from error

    assert judge([door]).outcome == MEMORY


@pytest.mark.parametrize("line", ["", " ", "a\nb", "a\x1b[31mb", "a\u202eb", "a\x9bb", "x" * (LONGEST_LINE + 1)])
def test_what_is_not_one_clear_line(line: str) -> None:
    assert line_fault(line)
    assert line_fault("the file is damaged: give another") is None


def _toy(change: container_changes.Change, act: Callable[[bytes], object]) -> Reader:
    def open_toy(prepared: Path, scratch: Path) -> Place:
        assert (prepared / "made").is_file() and scratch.is_dir()
        return lambda content: [lambda: act(content)]

    def prepare(folder: Path) -> Sequence[bytes]:
        (folder / "made").touch()
        return [b"sound"]

    return Reader("toy", (), prepare, change, open_toy)


def _act(content: bytes) -> None:
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"hang":
        while True:
            pass
    if content == b"grow":
        bytearray(1 << 30)
    if content == b"raise":
        raise KeyError("x")
    if content == b"refuse":
        raise UserError("it is damaged: give another")


def test_every_way_to_fail_is_counted_and_the_next_input_is_tried(tmp_path: Path) -> None:
    inputs = [b"crash", b"refuse", b"hang", b"sound", b"grow", b"raise", b"sound"]
    drawn = iter(inputs)
    reader = _toy(lambda rng, content, others: next(drawn), _act)
    counts = fuzz(reader, Budget(inputs=1 + len(inputs)), LIMITS, seed=0, jobs=1, out=tmp_path)
    assert dict(counts.outcomes) == {READ: 3, REFUSED: 1, CRASH: 1, SLOW: 1, MEMORY: 1, RAW: 1}
    assert counts.finds == 4
    assert {file.read_bytes() for file in tmp_path.glob("*.bin")} == {b"crash", b"hang", b"grow", b"raise"}
    assert len(list(tmp_path.glob("*.txt"))) == 4


def test_a_reader_that_does_not_read_its_valid_file_tries_nothing(tmp_path: Path) -> None:
    reader = _toy(byte_changes.changed, lambda content: 1 / 0)
    with pytest.raises(RuntimeError, match="the valid file 1"):
        fuzz(reader, Budget(inputs=3), LIMITS, seed=0, jobs=1, out=tmp_path)


JSON = json.dumps({"a": [1, 2.5, {"b": "c", "inner": '{"x": 1}'}], "d": None, "e": True}).encode()
TOML = b'name = "x"\n[table]\nlist = [1, 2]\nnumber = 2.5\n'


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        (value_changes.changed_json, JSON),
        (value_changes.changed_toml, TOML),
        (container_changes.changed_csv, b"a,b\n1,2\n"),
        (byte_changes.changed, b"12 \x00 abc" * 9),
    ],
)
def test_an_input_is_the_same_for_its_seed_and_number(change: container_changes.Change, valid: bytes) -> None:
    reader = _toy(change, lambda content: None)
    first, again = ([input_of(reader, [valid], 7, number) for number in range(1, 300)] for _ in range(2))
    assert first == again and first[0] == valid
    assert len(set(first)) > 200
    assert first != [input_of(reader, [valid], 8, number) for number in range(1, 300)]


def test_changed_settings_are_mostly_toml() -> None:
    """A reader of TOML is tried on what the parser lets through, too."""
    parsed = 0
    for number in range(200):
        try:
            tomllib.loads(value_changes.changed_toml(Random(number), TOML, [TOML]).decode())
            parsed += 1
        except (ValueError, RecursionError):
            pass
    assert 80 < parsed < 200
