"""Changes of nested values, as JSON and TOML files hold them: another type, another name, too deep, too many, hostile
text.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz import byte_changes

MOST_CHANGES = 3
TEXTS = (
    "", "0", "-1", "x" * 5000, "a\nb", "a\r\nb", "\x1b]0;t\x07\x1b[2J", "\u202eabc\u2066", "\x00", "\x85\u2028",
    "\ud800",
    "../../../etc/passwd", "/dev/zero", "=HYPERLINK(\"http://x.invalid\")", "| a | b |\n|---|---|",
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "%s%n", "\\input{/etc/passwd}", "nan", "inf", "null", "٣",
    "🧑", "hf-hub:a/b",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 7, 1.5, -0.0, 1e-320, 1e308, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, math.nan, math.inf,
    -math.inf)  # fmt: skip


def changed_json(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """JSON with changed values; one time in five its bytes are changed instead."""
    if rng.random() < 0.2:
        return byte_changes.changed(rng, content, others)
    value = changed_value(rng, json.loads(content))
    text = json.dumps(value)
    if rng.random() < 0.1 and text.startswith("{"):
        # A key twice: which one counts is the reader's choice, but it must be one.
        text = text[:1] + '"format": 1, ' + text[1:]
    return text.encode()


def changed_toml(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """TOML with changed values; one time in five its bytes are changed instead."""
    if rng.random() < 0.2:
        return byte_changes.changed(rng, content, others)
    value = changed_value(rng, tomllib.loads(content.decode()))
    table = value if isinstance(value, dict) else {"value": value}
    return "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in table.items()).encode("utf-8", "surrogatepass")


def changed_value(rng: Random, value: Any) -> Any:
    """A JSON value after one to ``MOST_CHANGES`` changes somewhere inside."""
    for _ in range(rng.randint(1, MOST_CHANGES)):
        places = list(_places(value, ()))
        value = _at(rng, value, rng.choice(places))
    return value


def odd_value(rng: Random) -> Any:
    """A value that nobody expects."""
    kind = rng.randrange(8)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind in (2, 3):
        return rng.choice(NUMBERS)
    if kind in (4, 5):
        return rng.choice(TEXTS)
    if kind == 6:
        return rng.choice(([], {}, [[]], [None], {"": None}, {"a": {"b": {}}}, [0] * 300))
    deep: Any = 0
    for _ in range(rng.choice((3, 50, 900))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return deep


def _places(value: Any, here: tuple[Any, ...]) -> Any:
    """Paths of all values inside, JSON kept as text too."""
    yield here
    if len(here) > 40:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*here, key))
    elif isinstance(value, list):
        # A few entries of long lists.
        for i in range(min(len(value), 6)):
            yield from _places(value[i], (*here, i))
    elif (inside := _inner_json(value)) is not None:
        yield from _places(inside, (*here, None))


def _inner_json(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in "{[":
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _at(rng: Random, value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return _changed_here(rng, value)
    key, *rest = path
    if key is None:
        return json.dumps(_at(rng, _inner_json(value), tuple(rest)))
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[key] = _at(rng, copied[key], tuple(rest))
    return copied


def _changed_here(rng: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.8:
        return _changed_table(rng, value)
    if isinstance(value, list) and value and rng.random() < 0.7:
        i = rng.randrange(len(value))
        return rng.choice(
            (
                value[:i] + value[i + 1 :],
                [*value, value[i]],
                value[:i],
                value * 2,
                value[::-1],
                [*value, odd_value(rng)],
            )
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice((*NUMBERS, value + 1, -value, str(value), float(value) if abs(value) < 1e300 else 0))
    if isinstance(value, str) and rng.random() < 0.5:
        return rng.choice((*TEXTS, value + "\n", value * 2, value.upper(), value[:-1]))
    return odd_value(rng)


def _changed_table(rng: Random, value: dict[str, Any]) -> dict[str, Any]:
    key = rng.choice(list(value))
    made = dict(value)
    how = rng.randrange(4)
    if how == 0:
        del made[key]
    elif how == 1:
        made[rng.choice((key + "x", *TEXTS))] = made.pop(key)
    elif how == 2:
        other = rng.choice(list(value))
        made[key], made[other] = made[other], made[key]
    else:
        made[rng.choice((key, "extra", *TEXTS))] = odd_value(rng)
    return made


def _key(key: str) -> str:
    return _text(key)


def _text(value: str) -> str:
    """A basic string of TOML, surrogates as they are: a file may hold them though it must not."""
    return '"' + "".join(f"\\u{ord(c):04X}" if ord(c) < 32 or c in '"\\\x7f' else c for c in value) + '"'


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # TOML has no null; dates are the one other thing that it has.
    return "1979-05-27T07:32:00Z" if value is None else _text(str(value))
