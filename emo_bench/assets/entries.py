"""Entries of a catalogue, ours or a plug-in's, checked: what is wrong with one is one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import PurePosixPath
from typing import Any

from emo_bench.assets.asset import Asset, Carrier
from emo_bench.errors import UserError, shortened

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
SHA256 = re.compile(r"[0-9a-f]{64}")
LISTS = ("needed_by", "urls", "holds", "files")
MOST_ENTRIES = 1000


def assets_of_entries(entries: object, place: str) -> tuple[Asset, ...]:
    """The assets that entries describe.

    Args:
        entries: a list of tables with the fields of :class:`Asset`; lists may be lists or tuples.
        place: where they are, for messages.

    Raises:
        UserError: an entry has a wrong field, no way to get it, or the name or file name of another.
    """
    if not isinstance(entries, (list, tuple)) or len(entries) > MOST_ENTRIES:
        raise UserError(
            f"{place}: assets are a list of at most {MOST_ENTRIES} tables, not {shortened(repr(entries), 60)}"
        )
    assets: dict[str, Asset] = {}
    for number, entry in enumerate(entries, start=1):
        asset = _asset(entry, place, number)
        for other in assets.values():
            require_apart(asset, other, place)
        assets[asset.name] = asset
    return tuple(assets.values())


def require_apart(asset: Asset, other: Asset, place: str) -> None:
    """A UserError where two assets have one name or one file name."""
    shared = {asset.name, asset.file} & {other.name, other.file}
    if shared:
        owner = f"plug-in {other.plug_in}" if other.plug_in else "another asset"
        raise UserError(
            f"{place}: asset {asset.name}: {min(shared)!r} is already the name or file of {owner}: give another"
        )


def _asset(entry: object, place: str, number: int) -> Asset:
    if not isinstance(entry, Mapping):
        raise UserError(f"{place}: asset {number} is {shortened(repr(entry), 60)}, not a table")
    who = f"{place}: asset {shortened(str(entry.get('name', number)), 60)}"
    values = _fields(entry, Asset, _RULES, who)
    values["carriers"] = tuple(
        Carrier(**_fields(carrier, Carrier, _CARRIER_RULES, f"{who}: carriers[{i}]"))
        for i, carrier in enumerate(values.get("carriers", ()))
    )
    for key in LISTS:
        values[key] = tuple(values.get(key, ()))
    values["files"] = values["files"] or values["holds"]
    asset = Asset(**values)
    if not asset.remedy():
        raise UserError(f"{who} has neither urls nor carriers nor made_by: say how to get it")
    if asset.urls and any("*" in name for name in asset.files):
        raise UserError(f"{who} does not say which files to fetch: list them in files, without *")
    return asset


def _fields(entry: object, cls: type[Any], rules: Mapping[str, _Rule], who: str) -> dict[str, Any]:
    """The fields of a table, each held against its rule."""
    if not isinstance(entry, Mapping):
        raise UserError(f"{who} is {shortened(repr(entry), 60)}, not a table")
    for key in entry:
        if key not in rules:
            raise UserError(f"{who}: there is no field {shortened(str(key), 60)!r} (known: {', '.join(rules)})")
    for field in fields(cls):
        if field.name in rules and field.default is MISSING and field.name not in entry:
            raise UserError(f"{who}: {field.name} is missing")
    for key, value in entry.items():
        right, wanted = rules[key]
        if not right(value):
            raise UserError(f"{who}: {key} is {shortened(repr(value), 80)}; it must be {wanted}")
    return dict(entry)


_Rule = tuple[Callable[[Any], bool], str]


def _line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= 1000


def _list_of(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and len(value) <= MOST_ENTRIES and all(map(rule, value))


def _relative(value: object) -> bool:
    """A path that stays in its folder."""
    if not _line(value) or not isinstance(value, str) or "\\" in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _in_package(value: object) -> bool:
    return _relative(value) and "/" in str(value) and str(value).split("/", 1)[0].isidentifier()


def _url(value: object) -> bool:
    return _line(value) and str(value).startswith(("https://", "http://")) and " " not in str(value)


def _count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**53


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_TEXT: _Rule = (_line, "one line of text")
_SWITCH: _Rule = (lambda value: isinstance(value, bool), "true or false")
_PACKAGE_FILE: _Rule = (_in_package, "a path that begins with the package, e.g. my_package/weights/mine.safetensors")
_RULES: Mapping[str, _Rule] = {
    "name": (_matches(NAME), "lower case letters, digits, dash, underscore and dot, at most 60 characters"),
    "file": (_matches(FILE), "a file name without folders: letters, digits, dash, underscore and dot"),
    "kind": _TEXT,
    "licence": _TEXT,
    "needed_by": (_list_of(_line), "a list of texts"),
    "source": _TEXT,
    "size_bytes": (_count, "a whole number of bytes"),
    "sha256": (_matches(SHA256), "64 hexadecimal digits in lower case"),
    "size_about": _TEXT,
    "urls": (_list_of(_url), "a list of addresses that begin with https://"),
    "carriers": (lambda value: isinstance(value, (list, tuple)) and len(value) <= MOST_ENTRIES, "a list of tables"),
    "torch_hub": _SWITCH,
    "holds": (_list_of(_relative), "a list of file names or patterns inside the folder"),
    "files": (_list_of(_relative), "a list of file names inside the folder"),
    "bundled": _PACKAGE_FILE,
    "made_by": _TEXT,
    "resolution_px": (_count, "a whole number of pixels"),
}
_CARRIER_RULES: Mapping[str, _Rule] = {"distribution": _TEXT, "file": _PACKAGE_FILE, "alone": _SWITCH}
