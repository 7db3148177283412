"""Changes inside containers, whose checksums and lengths are made right again so that the reader looks at what is
inside.
"""

from __future__ import annotations

import ast
import io
import json
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz import byte_changes, value_changes

Change = Callable[[Random, bytes, Sequence[bytes]], bytes]
NPY_TYPES = (
    "|O", "O", "<f4", ">f8", "<i8", "|b1", "<U9999999", "|V8", "<c16", "|S0", "<M8[s]", "<f2", "|u1", "f8,O", "(3,)f4",
)  # fmt: skip
GLOBALS = (
    "cos\nsystem\n", "cnumpy\ndtype\n", "cnumpy\nndarray\n", "cnumpy.core.multiarray\n_reconstruct\n",
    "cnumpy._core.multiarray\nscalar\n",
    "cbuiltins\neval\n", "cbuiltins\ngetattr\n", "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n",
    "c_codecs\nencode\n",
)  # fmt: skip
MOST_CHANGES = 4


def mixed(*changes: Change) -> Change:
    """One of several ways, drawn anew for each input."""

    def change(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
        return rng.choice(changes)(rng, content, others)

    return change


def changed_zip(inner: Change) -> Change:
    """A changed zip file (``.npz``, ``.pt``) with a changed, lost, doubled or renamed member; CRCs are right."""

    def change(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
        if not content.startswith(b"PK"):
            return inner(rng, content, others)
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = [(name, file.read(name)) for name in file.namelist()]
        i = rng.randrange(len(members))
        name, data = members[i]
        how = rng.randrange(10)
        if how == 0:
            del members[i]
        elif how == 1:
            members[i] = rng.choice((name + "x", "../" + name, "version.npy", ".")), data
        elif how == 2:
            members.append(rng.choice(members))
        elif how == 3:
            members[i] = name, rng.choice(members)[1]
        else:
            members[i] = name, inner(rng, data, [data for _, data in members])
        made = io.BytesIO()
        # A member twice is meant.
        with warnings.catch_warnings(), zipfile.ZipFile(made, "w", rng.choice((0, 8))) as file:
            warnings.simplefilter("ignore")
            for name, data in members:
                file.writestr(name, data)
        return made.getvalue()

    return change


def changed_npy(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A ``.npy`` with another header around the same numbers, or with changed bytes."""
    if not content.startswith(b"\x93NUMPY") or rng.random() < 0.3:
        return byte_changes.changed(rng, content, others)
    wide = content[6] > 1
    start = 12 if wide else 10
    size = int.from_bytes(content[8:start], "little")
    try:
        header = ast.literal_eval(content[start : start + size].decode("latin1"))
    except (ValueError, SyntaxError):
        return byte_changes.changed(rng, content, others)
    key = rng.choice(("descr", "descr", "shape", "shape", "fortran_order", "extra"))
    odd = {
        "descr": rng.choice((*NPY_TYPES, [("a", "<f4"), ("b", "|O")], [("", "<f4")], 7, [("a", ("<f4", (1 << 40,)))])),
        "shape": rng.choice(((), (0,), (-1,), (1 << 62, 4), (10**9,), (1, *header["shape"]), header["shape"][::-1],
            (1.5,), "x", (1,) * 40)),
        "fortran_order": rng.choice((True, 1, None, "no")),
    }  # fmt: skip
    header[key] = odd.get(key, value_changes.odd_value(rng))
    text = repr(header).encode("utf-8", "backslashreplace") + b"\n"
    return content[:8] + (len(text) & 0xFFFF).to_bytes(start - 8, "little") + text + content[start + size :]


def changed_pickle(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A pickle whose opcodes are lost, doubled, moved, given other numbers or other names."""
    places = _opcodes(content)
    if len(places) < 3 or rng.random() < 0.2:
        return byte_changes.changed(rng, content, others)
    parts = [content[a:b] for a, b in zip(places, [*places[1:], len(content)], strict=True)]
    for _ in range(rng.randint(1, MOST_CHANGES)):
        i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
        how = rng.randrange(6)
        if how == 0:
            parts[i] = b""
        elif how == 1:
            parts.insert(i, parts[j])
        elif how == 2:
            parts[i], parts[j] = parts[j], parts[i]
        elif how == 3:
            parts[i] = rng.choice(
                (
                    b"K\x00",
                    b"J\xff\xff\xff\x7f",
                    b"N",
                    b"}",
                    b"]",
                    b")",
                    b"R",
                    b"0",
                    b"b",
                    b"M\xff\xff",
                    b"G" + b"\x7f\xf8" + bytes(6),
                )
            )
        elif how == 4:
            parts[i] = rng.choice(GLOBALS).encode()
        else:
            parts[i] = parts[i][:1] + byte_changes.changed(rng, parts[i][1:], [b""])
    return b"".join(parts)


def _opcodes(content: bytes) -> list[int]:
    found: list[int] = []
    try:
        for _, _, position in pickletools.genops(content):
            found.append(position or 0)
    # Whatever a pickle that is already damaged makes the parser raise.
    except Exception:  # noqa: BLE001
        return found
    return found


def changed_safetensors(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Safetensors with a changed header of the right length, or with changed bytes."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
    except ValueError:
        header = None
    if header is None or rng.random() < 0.3:
        return byte_changes.changed(rng, content, others)
    text = json.dumps(value_changes.changed_value(rng, header)).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def changed_png(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A PNG with changed, lost, doubled or new chunks whose checksums are right; other pictures by their bytes."""
    if not content.startswith(b"\x89PNG") or rng.random() < 0.3:
        return byte_changes.changed(rng, content, others)
    chunks = list(_chunks(content))
    i = rng.randrange(len(chunks))
    kind, data = chunks[i]
    how = rng.randrange(6)
    if how == 0:
        del chunks[i]
    elif how == 1:
        chunks.insert(i, rng.choice(chunks))
    elif how == 2:
        bomb = zlib.compress(bytes(1 << 22))
        chunks.insert(
            1,
            rng.choice(
                (
                    (b"iCCP", b"a\0\0" + bomb),
                    (b"zTXt", b"a\0\0" + bomb),
                    (b"iTXt", b"a\0\1\0\0\0" + bomb),
                    (b"tRNS", bytes(7)),
                    (b"acTL", bytes(8)),
                )
            ),
        )
    elif how == 3 and kind == b"IHDR":
        chunks[i] = (kind, struct.pack(">II", rng.choice((0, 24, 100000)), rng.choice((0, 24, 100000))) + data[8:])
    else:
        chunks[i] = kind, byte_changes.changed(rng, data, [data for _, data in chunks])
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return content[:8] + body


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def changed_parquet(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A table with other columns, types or pandas' notes about them, or with changed bytes."""
    import pyarrow
    import pyarrow.parquet

    if rng.random() < 0.5:
        return byte_changes.changed(rng, content, others)
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    i, rows = rng.randrange(table.num_columns), table.num_rows
    name, how = table.column_names[i], rng.randrange(7)
    odd = rng.choice((
        ["x"] * rows, [None] * rows, [float("nan")] * rows, [float("inf")] * rows, [b"\xff"] * rows, [[1.0]] * rows,
        [{"a": 1}] * rows, list(range(rows)), [True] * rows, [2**62] * rows, [-1] * rows, [0] * rows,
    ))  # fmt: skip
    if how == 0:
        table = table.drop_columns([name])
    elif how == 1:
        table = table.rename_columns([value_changes.TEXTS[-2] if c == name else c for c in table.column_names])
    elif how == 2:
        table = table.append_column(name, pyarrow.array(odd))
    elif how == 3:
        table = table.slice(0, rng.randrange(rows + 1))
    elif how in (4, 5):
        table = table.set_column(i, name, pyarrow.array(odd))
    else:
        notes = dict(table.schema.metadata or {})
        pandas_notes = json.loads(notes.get(b"pandas", b"{}"))
        notes[b"pandas"] = json.dumps(value_changes.changed_value(rng, pandas_notes)).encode()
        table = table.replace_schema_metadata(notes)
    made = io.BytesIO()
    pyarrow.parquet.write_table(table, made)
    return made.getvalue()


def changed_csv(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A table of commas with changed, lost or doubled cells and lines, or with changed bytes."""
    if rng.random() < 0.3:
        return byte_changes.changed(rng, content, others)
    lines = [line.split(",") for line in content.decode("utf-8", "replace").splitlines()]
    for _ in range(rng.randint(1, MOST_CHANGES)):
        i = rng.randrange(len(lines))
        j = rng.randrange(len(lines[i])) if lines[i] else 0
        how = rng.randrange(5)
        if how == 0 and len(lines) > 1:
            del lines[i]
        elif how == 1:
            lines.insert(i, list(rng.choice(lines)))
        elif how == 2:
            lines[i].insert(j, str(rng.choice(value_changes.NUMBERS)))
        elif how == 3 and lines[i]:
            del lines[i][j]
        elif lines[i]:
            lines[i][j] = str(rng.choice((*value_changes.NUMBERS, *value_changes.TEXTS)))
    return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass")
