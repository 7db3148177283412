"""Readers of files that anybody may have made: the values that good files hold, one line for all others."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from emo_bench.errors import UserError
from emo_bench.importers.safe_pickle import load_plain
from emo_bench.untrusted.json_text import parse_json
from emo_bench.untrusted.npy import map_npy, read_npy, read_npz
from emo_bench.untrusted.refusal import Unreadable, one_line, reading, short, shown
from emo_bench.untrusted.safetensors_file import read_safetensors
from emo_bench.untrusted.torch_archive import read_torch
from tests.emo_bench.pickle_opcodes import (
    PROTO,
    STOP,
    Raw,
    bombs,
    lying_values,
    operations,
    payloads,
    pickled,
)

ROOT = Path(__file__).resolve().parents[2]
PLAIN = (
    np_st.integer_dtypes()
    | np_st.unsigned_integer_dtypes()
    | np_st.floating_dtypes()
    | np_st.boolean_dtypes()
)
ARRAYS = np_st.arrays(PLAIN, np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def object_npy(content: bytes) -> bytes:
    """A `.npy` of one object, as numpy.save writes a dictionary."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": "|O", "fortran_order": False, "shape": ()})
    return made.getvalue() + content


def torch_zip(
    content: bytes, members: dict[str, bytes] | None = None, how: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip archive as torch.save lays it out."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, data in (members or {"data/0": bytes(40)}).items():
            archive.writestr(f"archive/{name}", data)
    return made.getvalue()


def read_prior(path: Path) -> Any:
    from emo_avatar.checkpoints import load_stylegan2

    return load_stylegan2(path)


DOORS: dict[str, tuple[Callable[[bytes], bytes], Callable[[Path], Any]]] = {
    "npy": (object_npy, load_plain),
    "torch": (torch_zip, lambda path: read_torch(path, "file")),
    "prior": (lambda content: content, read_prior),
}


@contextmanager
def little_memory(most_mib: int = 80) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_mib << 20
    finally:
        tracemalloc.stop()


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """The one line with which ``path`` is refused."""
    with pytest.raises(UserError) as caught:
        read(path)
    line = str(caught.value)
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
    return line


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
from emo_bench.importers.safe_pickle import load_plain
from emo_bench.importers.foreign_track import as_numbers
from emo_bench.untrusted.torch_archive import read_torch
from emo_avatar.checkpoints import load_stylegan2

def use(value):
    for part in value.values():
        as_numbers(part, (1,), "a part")
        repr(part), str(part), list(part)

READ = {"npy": lambda p: use(load_plain(p)), "torch": lambda p: use(read_torch(p, "file")), "prior": load_stylegan2}
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
@given(ARRAYS)
def test_npy_files_are_read_as_numpy_reads_them(array: np.ndarray) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        for order in ("C", "F"):
            made = io.BytesIO()
            np.lib.format.write_array(made, np.asarray(array, order=order), version)  # type: ignore[call-overload]
            size = made.tell()
            made.seek(0)
            found = read_npy(made, size)
            assert found.dtype == array.dtype and found.shape == array.shape
            np.testing.assert_array_equal(found, array)


@quick
@given(
    st.dictionaries(
        st.text(max_size=5), ARRAYS | st.floats(allow_nan=False) | st.text(max_size=9), max_size=4
    )
)
def test_pickled_dictionaries_of_arrays_are_read_as_numpy_reads_them(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "content.npy"
    np.save(path, content)
    found = load_plain(path)
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
    path = tmp_path / "file.npy"
    path.write_bytes(object_npy(pickle.dumps(content, protocol)))
    found = load_plain(path)
    for name in ("scalar", "text", "ordered", "set", "nested"):
        assert found[name] == content[name], name
    for name in ("big-endian", "columns first", "empty"):
        np.testing.assert_array_equal(np.asarray(found[name]), content[name])
        assert np.asarray(found[name]).dtype == content[name].dtype  # type: ignore[attr-defined]


DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_are_read_as_torch_reads_them(tmp_path: Path, dtype: torch.dtype, modern: bool) -> None:
    base = torch.arange(24).reshape(2, 3, 4).to(dtype)
    content = {
        "whole": base,
        "transposed": base.transpose(0, 2),
        "part": base[:, 1:, ::2],
        "repeated": base[0, 0].expand(50, 4),
        "scalar": base[1, 2, 3],
        "empty": base[:, :0],
        "parameter": torch.nn.Parameter(base, requires_grad=dtype.is_floating_point),
        "nested": [OrderedDict(a=base), (torch.Size([2, 3]), 1.5, None)],
    }
    path = tmp_path / "file.pt"
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    found, expected = read_torch(path, "file"), torch.load(path, weights_only=True)
    for name in ("whole", "transposed", "part", "repeated", "scalar", "empty", "parameter"):
        assert found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]), name
    assert torch.equal(found["nested"][0]["a"], base) and found["nested"][1] == ((2, 3), 1.5, None)


def test_a_state_of_training_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    moments = {name: torch.rand(4, 3) for name in ("exp_avg", "exp_avg_sq")}
    state = {
        "network": network.state_dict(),
        "optimizer": {
            "state": {0: {"step": torch.tensor(1.0), **moments}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}],
        },
        "rng": torch.Generator().manual_seed(3).get_state(),
        "step": 7,
        "best": float("inf"),
    }
    torch.save(state, tmp_path / "state.pt")
    found = read_torch(tmp_path / "state.pt", "state")
    network.load_state_dict(found["network"])
    torch.Generator().set_state(found["rng"])
    torch.testing.assert_close(found, torch.load(tmp_path / "state.pt", weights_only=True))


FLOATS = Raw(b"ctorch\nFloatStorage\n")


def tensor(offset: Any, size: Any, stride: Any, storage: Any = ("storage", FLOATS, "0", "cpu", 10)) -> bytes:
    """A tensor over a storage of ten numbers."""
    held = Raw(operations(storage) + b"Q")
    return pickled(
        Raw(
            b"ctorch._utils\n_rebuild_tensor_v2\n"
            + operations((held, offset, size, stride, False, {}))
            + b"R"
        )
    )


@pytest.mark.parametrize(
    "content",
    [
        tensor(0, (11,), (1,)),
        tensor(5, (6,), (1,)),
        tensor(-1, (2,), (1,)),
        tensor(0, (3,), (5,)),
        tensor(9, (2,), (-1,)),
        tensor(0, (1 << 30, 1 << 30), (0, 0)),
        tensor(0, (0, 1 << 31), (0, 0)),
        tensor(0, (2,), (1, 1)),
        tensor(0, [2], [1]),
        tensor(True, (2,), (1,)),
        tensor(0, ("2",), (1,)),
        tensor(0, (1,) * 40, (1,) * 40),
        tensor(0, (2,), (1,), ("storage", FLOATS, "0", "cpu", 11)),
        tensor(0, (2,), (1,), ("storage", FLOATS, "1", "cpu", 10)),
        tensor(0, (2,), (1,), ("storage", FLOATS, "../../x", "cpu", 10)),
        tensor(0, (2,), (1,), ("storage", "FloatStorage", "0", "cpu", 10)),
        tensor(0, (2,), (1,), ("storage", FLOATS, "0", "cpu", 10, ("0", 1, 2))),
        tensor(0, (2,), (1,), ("module", FLOATS, "0", "cpu", 10)),
        tensor(0, (2,), (1,), "0"),
        pickled(
            Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + operations(("0", 0, (2,), (1,), False, {})) + b"R")
        ),
    ],
)
def test_tensors_stay_inside_their_storage(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(torch_zip(tensor(2, (2, 4), (4, 1))))
    assert read_torch(path, "file").shape == (2, 4)
    path.write_bytes(torch_zip(content))
    with little_memory():
        refusal(lambda path: read_torch(path, "file"), path)


def test_archives_that_unpack_to_more_than_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    read = DOORS["torch"][1]
    path.write_bytes(torch_zip(tensor(0, (2,), (1,)), {"data/0": bytes(40)}, zipfile.ZIP_DEFLATED))
    assert "compressed" in refusal(read, path)
    path.write_bytes(torch_zip(tensor(0, (2,), (1,)), {"data/0": bytes(40), "byteorder": b"big"}))
    assert "big-endian" in refusal(read, path)
    whole = torch_zip(tensor(0, (2,), (1,)))
    at = whole.rindex(b"PK\x01\x02")
    claims = bytearray(whole)
    claims[at + 20 : at + 28] = struct.pack("<II", 0xFFFF0000, 0xFFFF0000)
    path.write_bytes(claims)
    with little_memory():
        refusal(read, path)


def test_the_older_format_claims_no_more_than_it_holds(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.save({"a": torch.arange(5.0)}, made, _use_new_zipfile_serialization=False)
    path = tmp_path / "file.pt"
    read = DOORS["torch"][1]
    path.write_bytes(made.getvalue())
    assert torch.equal(read(path)["a"], torch.arange(5.0))
    path.write_bytes(made.getvalue()[:-4])
    assert "cut" in refusal(read, path)
    path.write_bytes(made.getvalue().replace(b"K\x05", b"J\xff\xff\xff\x7f"))
    with little_memory():
        assert "memory" in refusal(read, path)
    path.write_bytes(made.getvalue()[:-28] + struct.pack("<q", 1 << 60) + made.getvalue()[-20:])
    assert "another size" in refusal(read, path)


GOOD_HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


def npy(header: str, data: bytes = bytes(24), version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode("latin1")
    wide = struct.pack("<H" if version == 1 else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + wide + raw + data


@pytest.mark.parametrize(
    "content",
    [
        npy(GOOD_HEADER, bytes(23)),
        npy(GOOD_HEADER, bytes(25)),
        npy(GOOD_HEADER, version=9),
        npy(GOOD_HEADER, version=2, length=1 << 31),
        npy(GOOD_HEADER, length=0),
        npy(GOOD_HEADER.replace("<f4", "|O")),
        npy(GOOD_HEADER.replace("<f4", "<U6"), bytes(24)),
        npy(GOOD_HEADER.replace("<f4", "<M8[s]"), bytes(48)),
        npy(GOOD_HEADER.replace("<f4", "|V4")),
        npy(GOOD_HEADER.replace("<f4", "=<f4")),
        npy(GOOD_HEADER.replace("'<f4'", "[('a', '<f4')]")),
        npy(GOOD_HEADER.replace("'<f4'", "('<f4', (3,))").replace("(2, 3)", "(2,)")),
        npy(GOOD_HEADER.replace("(2, 3)", "(1000000000000, 6)")),
        npy(GOOD_HEADER.replace("(2, 3)", "(-2, -3)")),
        npy(GOOD_HEADER.replace("(2, 3)", "(2.0, 3)")),
        npy(GOOD_HEADER.replace("(2, 3)", "2")),
        npy(GOOD_HEADER.replace("(2, 3)", "(" + "1," * 40 + "6)")),
        npy(GOOD_HEADER.replace("(2, 3)", "(" + "9" * 4000 + ",)")),
        npy(GOOD_HEADER.replace("False", "__import__('os').abort()")),
        npy(GOOD_HEADER.replace("'shape': (2, 3), ", "")),
        npy(GOOD_HEADER.replace("}", "'more': 1}")),
        npy("(" * 4000),
        npy("-" * 4000 + "1"),
        npy("{" * 4000 + "}"),
        npy("[" * 60000),
        npy("\0" * 40),
        b"",
        b"\x93NUMPY",
    ],
)
def test_headers_of_npy_that_are_no_plain_array(content: bytes, tmp_path: Path) -> None:
    from emo_bench.importers.foreign_track import read_array

    path = tmp_path / "1.npy"
    path.write_bytes(npy(GOOD_HEADER))
    assert read_array(path).shape == (2, 3)
    path.write_bytes(content)
    with little_memory():
        refusal(read_array, path)


def test_headers_as_others_write_them(tmp_path: Path) -> None:
    from emo_bench.importers.foreign_track import read_array

    path = tmp_path / "1.npy"
    for header in (
        '{"descr": "<f4", "fortran_order": False, "shape": (2, 3)}\n',
        "{'fortran_order': False, 'shape': (2,3), 'descr': '<f4'}          \n",
        "{ 'shape':(6,),'fortran_order':True,'descr':'f4' }",
    ):
        path.write_bytes(npy(header))
        np.testing.assert_array_equal(read_array(path), np.load(path))


def test_large_arrays_are_mapped_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "bank.npy"
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    for order in ("C", "F"):
        np.save(path, np.asarray(images, order=order))  # type: ignore[call-overload]
        np.testing.assert_array_equal(map_npy(path, "bank"), images)
    whole = path.read_bytes()
    for content in (whole[:-1], whole.replace(b"|u1", b"|O8"), npy("(" * 4000), b""):
        path.write_bytes(content)
        refusal(lambda path: map_npy(path, "bank"), path)


def test_npz_members_unpack_to_a_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez_compressed(path, a=np.arange(3), huge=np.zeros(12_000_000))
    np.testing.assert_array_equal(read_npz(path, ["a"], "file")["a"], [0, 1, 2])
    with little_memory():
        assert "unpacks" in refusal(lambda path: read_npz(path, ["a", "huge"], "file"), path)
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(GOOD_HEADER) + bytes(100_000_000))
    lying = bytearray(raw.getvalue())
    at = lying.rindex(b"PK\x01\x02")
    # The member says that it unpacks to what its header says, and goes on for 100 MB.
    lying[at + 24 : at + 28] = struct.pack("<I", len(npy(GOOD_HEADER)))
    path.write_bytes(lying)
    with little_memory():
        refusal(lambda path: read_npz(path, ["a"], "file"), path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", npy(GOOD_HEADER))
    refusal(lambda path: read_npz(path, ["a"], "file"), path)


def test_lists_that_grow_when_they_are_unfolded(tmp_path: Path) -> None:
    from emo_bench.importers import import_track

    doubled = b"](K\x01e" + b"q\x01](h\x01h\x01e" * 40
    np_file = tmp_path / "1.npy"
    for hostile in (doubled, b"]q\x01h\x01a", operations([[[[[[1]]]]]])):
        np_file.write_bytes(object_npy(PROTO + b"}" + operations("coeffs") + hostile + b"s" + STOP))
        with little_memory():
            refusal(lambda path: import_track("faceverse-v4", path.parent), np_file)


@pytest.mark.parametrize(
    "header",
    [
        b"{" * 50_000,
        b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9999999999]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":{"dtype":"X99","shape":[1],"data_offsets":[0,4]}}',
        b'{"__metadata__":{"a":1}}',
        b'{"__metadata__":7}',
        b"\xff\xfe{}",
        b"",
    ],
)
@pytest.mark.parametrize("claimed", [None, 0, 1 << 40, (1 << 64) - 1])
def test_safetensors_with_a_hostile_header(header: bytes, claimed: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + bytes(4))
    refusal(read_safetensors, path)


def test_json_is_bounded() -> None:
    assert parse_json('{"a": 1}', "it") == {"a": 1}
    for text in ("[" * 100_000, "[1]", "{", '{"a":' * 5000, '{"a": ' + "9" * 6000 + "}", "x" * (2 << 20)):
        with pytest.raises(Unreadable):
            parse_json(text, "it")
    with pytest.raises(Unreadable):
        parse_json(json.dumps({"a": "x" * (2 << 20)}), "it")


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
        assert len(one_line(ValueError(value))) < 200 and one_line(ValueError(value)).isprintable()
    assert one_line(ValueError("")) == "ValueError"
    assert one_line(KeyError("x")) == "it refers to what is not there"


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), OverflowError("x"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), struct.error("x"), zipfile.BadZipFile("x")])  # fmt: skip
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
    content = {
        "coeffs": np.arange(4, dtype=np.float32),
        "bbox": [np.float64(1), (2, "x")],
        "more": {"a": {1, 2}},
    }
    made = io.BytesIO()
    torch.save(
        {"g_ema": {"a": torch.arange(6.0).reshape(2, 3)}, "n": OrderedDict(b=torch.ones(2).half())}, made
    )
    old = io.BytesIO()
    torch.save({"a": torch.arange(6)}, old, _use_new_zipfile_serialization=False)
    return {"npy": object_npy(pickle.dumps(content, 4)), "torch": made.getvalue(), "older torch": old.getvalue(), "plain": npy(GOOD_HEADER)}  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    from emo_bench.importers.foreign_track import read_array

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
    read = {"npy": load_plain, "plain": read_array}.get(kind, lambda path: read_torch(path, "file"))
    try:
        read(path)
    except UserError as error:
        line = str(error)
    else:
        return
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
