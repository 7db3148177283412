"""Read pickles as data: only operations that build plain values, and named builders. Nothing is imported.

Python's own unpickler trusts lengths, memo numbers and nesting, and calls real classes. Here a class is only a name,
and only names that a reader lists can be built.
"""

from __future__ import annotations

import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from emo_bench.untrusted.budget import Budget
from emo_bench.untrusted.refusal import Unreadable, short

Builder = Callable[..., Any]

# The hashes of larger numbers can be chosen to collide.
LARGEST_KEY = 1 << 32
NEWEST_PROTOCOL = 5
CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "STRING", "BINSTRING", "SHORT_BINSTRING")
TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
LITERALS = frozenset((*NUMBERS, *BYTES, *TEXTS))
TUPLES: Mapping[str, int] = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names; it is never imported."""

    full: str


class Stateful(ABC):
    """A value that may receive a state after it was built (``BUILD``)."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Set the state from the file; Unreadable if it does not fit."""


class PickleMachine:
    """Reads one pickle as plain values and the results of the builders.

    Args:
        builders: functions by the full name of the class, such as ``collections.OrderedDict``; they receive the file's
            arguments.
        budget: the limits for the file.
        persistent: function that returns the object for a persistent id; None refuses such ids.
    """

    def __init__(
        self, builders: Mapping[str, Builder], budget: Budget, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self._builders, self._budget, self._persistent = builders, budget, persistent
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def read(self, stream: IO[bytes]) -> Any:
        """Read the object of the pickle that begins here; afterwards the stream's position is behind it.

        Raises:
            Unreadable: an operation or a name is not allowed, or there are too many.
            Exception: any other error caused by a damaged file (IndexError, KeyError, ValueError, ...); see
                ``reading``.
        """
        for opcode, argument, _ in pickletools.genops(stream):
            self._budget.take_operation()
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in LITERALS:
                self._stack.append(argument)
            elif opcode.name in CONSTANTS:
                self._stack.append(CONSTANTS[opcode.name])
            else:
                self._do(opcode.name, argument)
        raise Unreadable("it ends early")

    def _do(self, name: str, argument: Any) -> None:
        match name:
            case "MARK":
                self._marked.append(self._stack)
                self._stack = []
            case "POP" if self._stack:
                self._stack.pop()
            case "POP" | "POP_MARK":
                self._since_mark()
            case "DUP":
                self._stack.append(self._stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "PROTO" if argument <= NEWEST_PROTOCOL:
                pass
            case "FRAME":
                pass
            case "GLOBAL":
                self._push_name(".".join(argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = self._stack.pop(), self._stack.pop()
                if type(module) is not str or type(attribute) is not str:
                    raise Unreadable("a name that is not text")
                self._push_name(f"{module}.{attribute}")
            case "REDUCE" | "NEWOBJ":
                arguments = self._stack.pop()
                self._stack[-1] = self._built(self._stack[-1], arguments)
            case "BUILD":
                state = self._stack.pop()
                _set_state(self._stack[-1], state)
            case "BINPERSID" if self._persistent is not None:
                self._stack.append(self._persistent(self._stack.pop()))
            case _:
                self._collect(name)

    def _collect(self, name: str) -> None:
        """Return the builders of tuples, lists, dicts and sets."""
        if name in TUPLES:
            count = TUPLES[name]
            if len(self._stack) < count:
                raise Unreadable("a tuple of more values than there are")
            kept = len(self._stack) - count
            self._stack[kept:] = [tuple(self._stack[kept:])]
            return
        match name:
            case "TUPLE":
                items = self._since_mark()
                self._stack.append(tuple(items))
            case "EMPTY_LIST":
                self._stack.append([])
            case "LIST":
                items = self._since_mark()
                self._stack.append(items)
            case "APPEND":
                item = self._stack.pop()
                _extend(self._stack[-1], [item])
            case "APPENDS":
                items = self._since_mark()
                _extend(self._stack[-1], items)
            case "EMPTY_DICT":
                self._stack.append({})
            case "DICT":
                items = self._since_mark()
                self._stack.append({})
                _set_items(self._stack[-1], items)
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                _set_items(self._stack[-1], [key, value])
            case "SETITEMS":
                items = self._since_mark()
                _set_items(self._stack[-1], items)
            case "EMPTY_SET":
                self._stack.append(set())
            case "ADDITEMS":
                items = self._since_mark()
                _add_all(self._stack[-1], items)
            case "FROZENSET":
                items = self._since_mark()
                self._stack.append(frozenset(map(checked_key, items)))
            case _:
                raise Unreadable(f"it uses the operation {name}, refused")

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _push_name(self, full: str) -> None:
        if full not in self._builders:
            raise Unreadable(f"it wants to run {short(full, 80)}, refused")
        self._stack.append(Name(full))

    def _built(self, what: Any, arguments: Any) -> Any:
        if not isinstance(what, Name) or type(arguments) is not tuple:
            raise Unreadable("it calls a value that cannot be called")
        try:
            return self._builders[what.full](*arguments)
        except TypeError as error:
            raise Unreadable(f"it gives {short(what.full, 80)} arguments of a wrong form") from error


def dict_of(items: Any = ()) -> dict[Any, Any]:
    """Build dicts and similar types: an empty one, or from a list of pairs."""
    made: dict[Any, Any] = {}
    if isinstance(items, dict):
        return dict(items)
    if not isinstance(items, list | tuple):
        raise Unreadable("a dictionary made of values that are not pairs")
    for key, value in items:
        made[checked_key(key)] = value
    return made


def set_of(items: Any = ()) -> set[Any]:
    """Build sets."""
    if not isinstance(items, list | tuple | set):
        raise Unreadable("a set made of a value that is not a list")
    return set(map(checked_key, items))


def checked_key(key: Any) -> Any:
    """Accept as a key only a text, a small whole number, or None, whose hash is fast and not recursive."""
    if key is None or type(key) in (str, bytes, bool) or (type(key) is int and abs(key) < LARGEST_KEY):
        return key
    raise Unreadable(f"a key of the kind {type(key).__name__}")


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise Unreadable("it appends to a value that is not a list")
    target.extend(items)


def _set_items(target: Any, items: list[Any]) -> None:
    if type(target) is not dict or len(items) % 2:
        raise Unreadable("it sets items of a value that is not a dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[checked_key(key)] = value


def _add_all(target: Any, items: list[Any]) -> None:
    if type(target) is not set:
        raise Unreadable("it adds to a value that is not a set")
    target.update(map(checked_key, items))


def _set_state(target: Any, state: Any) -> None:
    # The state of an ordered dictionary holds attributes of torch.nn, which are not needed.
    if isinstance(target, Stateful):
        target.set_state(state)
    elif type(target) is not dict or type(state) is not dict:
        raise Unreadable("it gives a state to a value that takes none")
