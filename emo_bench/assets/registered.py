"""Assets that installed packages register in the entry-point group ``emo_bench.assets``."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from emo_bench.assets.asset import Asset
from emo_bench.assets.entries import assets_of_entries, require_apart
from emo_bench.errors import UserError
from emo_bench.plug_ins.calls import kept_apart, plug_in_call
from emo_bench.plug_ins.loading import import_module, installed, said_in_words

ENTRY_POINT_GROUP = "emo_bench.assets"

ReadFile = Callable[[Path], tuple[Asset, ...]]
# Entry points that are being read: a plug-in that lists the assets while it is imported does not see its own.
_at_work: set[str] = set()


def registered_assets(ours: tuple[Asset, ...], read_file: ReadFile) -> tuple[tuple[Asset, ...], tuple[str, ...]]:
    """The assets of plug-ins, and one line for each plug-in whose assets are left out because something is wrong.

    Args:
        ours: the catalogue; a plug-in takes none of its names.
        read_file: reads a file in the form of ``catalogue.toml``.
    """
    found: list[Asset] = []
    problems: list[str] = []
    for name, value in _entry_points():
        if name in _at_work:
            continue
        who = f"assets of plug-in {name}"
        try:
            assets = _assets_of(name, value, read_file)
            for asset in assets:
                for other in (*ours, *found):
                    require_apart(asset, other, who)
        except UserError as error:
            text = str(error)
            problems.append(text if text.startswith(who) else f"{who}: {text}")
        else:
            found += assets
    return tuple(found), tuple(problems)


@functools.cache
def _entry_points() -> tuple[tuple[str, str], ...]:
    return tuple(installed(ENTRY_POINT_GROUP).items())


@functools.cache
def _read(name: str, value: str, read_file: ReadFile) -> tuple[Asset, ...] | str:
    """The assets of one entry point, or what is wrong with it; read once in a process."""
    who = f"assets of plug-in {name}"
    module, _, attribute = value.partition(":")
    try:
        if value.endswith(".toml"):
            return read_file(_folder_of(module, who) / attribute)
        function = getattr(import_module(module, f"{who}: {module} cannot be imported"), attribute, None)
        if not callable(function):
            raise UserError(f"{who}: {module} has no function {attribute}")
        with kept_apart(who), plug_in_call(who, attribute, show_traceback=False):
            entries: Any = function()
            # Taken out of the plug-in's own containers here: their code may fail, too.
            entries = [dict(entry) for entry in entries]
        return assets_of_entries(entries, who)
    except UserError as error:
        return str(error)


def _assets_of(name: str, value: str, read_file: ReadFile) -> tuple[Asset, ...]:
    _at_work.add(name)
    try:
        assets = _read(name, value, read_file)
    finally:
        _at_work.discard(name)
    if isinstance(assets, str):
        raise UserError(assets)
    return tuple(replace(asset, plug_in=name) for asset in assets)


def _folder_of(package: str, who: str) -> Path:
    """The folder of an installed package; it is not imported itself, the packages above it are."""
    try:
        with kept_apart(who):
            spec = importlib.util.find_spec(package)
    except (Exception, SystemExit) as error:
        raise UserError(f"{who}: package {package} is not found: {said_in_words(error)}") from error
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise UserError(f"{who}: there is no package {package}: an entry names a file as my_package:assets.toml")
    return Path(folders[0])
