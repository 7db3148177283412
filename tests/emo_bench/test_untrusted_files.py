"""Arrays, archives and texts that anybody may have made: what good ones hold, one line for all others."""

from __future__ import annotations

import io
import json
import struct
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
from emo_bench.untrusted.npy import map_npy, read_npy, read_npz
from emo_bench.untrusted.plain_json import parse_json, plain, read_json
from emo_bench.untrusted.refusal import Unreadable
from emo_bench.untrusted.safetensors_file import read_safetensors
from emo_bench.untrusted.torch_archive import read_torch
from tests.emo_bench.pickle_opcodes import Raw, operations, pickled
from tests.emo_bench.untrusted_doors import DOORS, GOOD_HEADER, little_memory, npy, read_array, refusal, torch_zip

PLAIN = np_st.integer_dtypes() | np_st.unsigned_integer_dtypes() | np_st.floating_dtypes() | np_st.boolean_dtypes()
ARRAYS = np_st.arrays(PLAIN, np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
        Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + operations((held, offset, size, stride, False, {})) + b"R")
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
        pickled(Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + operations(("0", 0, (2,), (1,), False, {})) + b"R")),
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
    path = tmp_path / "1.npy"
    path.write_bytes(npy(GOOD_HEADER))
    assert read_array(path).shape == (2, 3)
    path.write_bytes(content)
    with little_memory():
        refusal(read_array, path)


def test_headers_as_others_write_them(tmp_path: Path) -> None:
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


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters() | st.just("\ud800")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(value=VALUES, ascii_only=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_is_read_as_python_reads_it(value: Any, ascii_only: bool, tmp_path: Path) -> None:
    """NaN and halves of characters are text afterwards, whether or not the reader has to look for them."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    (tmp_path / "value.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read = read_json(tmp_path / "value.json", 10**6)
    except UserError:
        # Python writes half of a character, which is not UTF-8.
        assert not ascii_only and "\ud800" in text
        return
    assert read == plain(json.loads(text))
    # Every value that was read can be stored again.
    json.dumps(read, ensure_ascii=False, allow_nan=False).encode()


def test_json_is_bounded() -> None:
    assert parse_json('{"a": 1}', "it") == {"a": 1}
    for text in ("[" * 100_000, "[1]", "{", '{"a":' * 5000, '{"a": ' + "9" * 6000 + "}", "x" * (2 << 20)):
        with pytest.raises(Unreadable):
            parse_json(text, "it")
    with pytest.raises(Unreadable):
        parse_json(json.dumps({"a": "x" * (2 << 20)}), "it")
