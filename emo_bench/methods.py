"""The methods that there are: built in, installed as plug-ins, or in a Python file."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from emo_bench.errors import UserError
from emo_bench.method import Method

ENTRY_POINT_GROUP = "emo_bench.methods"
# The stand-ins that every report shows.
TRIVIAL = ("mean-frame", "nearest-frame")
_BUILT_IN = {
    "emo-avatar": "emo_avatar.method:EmoAvatar",
    "mean-frame": "baselines.mean_frame:MeanFrame",
    "nearest-frame": "baselines.nearest_frame:NearestFrame",
    "insta": "baselines.insta.method:Insta",
    "point-avatar": "baselines.point_avatar.method:PointAvatar",
    "deep-video-portraits": "baselines.deep_video_portraits.method:DeepVideoPortraits",
    "style-avatar": "baselines.style_avatar.method:StyleAvatar",
}


def known_methods() -> Mapping[str, str]:
    """``name -> "module:Class"``: the built-in ones first, then plug-ins by name, which cannot replace them."""
    plug_ins = {
        entry.name: entry.value
        for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    }
    return {**_BUILT_IN, **{name: place for name, place in plug_ins.items() if name not in _BUILT_IN}}


def method_class(name: str) -> type[Method]:
    """The class of a method by its name, by ``path/to/file.py:Class``, or by a command method's TOML file.

    Raises:
        UserError: there is no such method, or it cannot be imported.
    """
    if name.endswith(".toml"):
        from emo_bench.command_method import command_class

        return command_class(Path(name))
    file, _, attribute = name.rpartition(":")
    if file.endswith(".py"):
        return _attribute(_module_from_file(Path(file)), attribute, name)
    places = known_methods()
    if name not in places:
        near = difflib.get_close_matches(name, places, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise UserError(
            f"there is no method {name!r} (known: {', '.join(places)}, path/to/file.py:Class or path/to/file.toml){guess}"
        )
    module, _, attribute = places[name].partition(":")
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"method {name} cannot be imported from {module}: {error}") from error
    found = _attribute(loaded, attribute, name)
    if found.info.name != name:
        raise UserError(f"method {name}: {places[name]} calls itself {found.info.name!r}")
    return found


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a method as path/to/file.py:Class")
    module_name = f"emo_bench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise UserError(f"{path} cannot be imported: {error}") from error
    return module


def _attribute(module: ModuleType, attribute: str, name: str) -> type[Method]:
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"method {name}: {attribute} is not a subclass of emo_bench.method.Method")
    return found
