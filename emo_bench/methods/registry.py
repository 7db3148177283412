"""The methods that there are: built in, installed as plug-ins, or in a Python file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from emo_bench import assets
from emo_bench.errors import MethodError, UserError, unknown_name
from emo_bench.methods.interface import LEAST_PX, NAME, NAME_RULE, Method, MethodInfo, Workspace
from emo_bench.plug_ins.calls import kept_apart, place_of, plug_in_call

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
        entry.name: entry.value for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    }
    return {**_BUILT_IN, **{name: place for name, place in plug_ins.items() if name not in _BUILT_IN}}


def method_class(name: str) -> type[Method]:
    """The class of a method by its name, by ``path/to/file.py:Class``, or by a command method's TOML file.

    Raises:
        UserError: there is no such method, it cannot be imported, or its class lacks something.
    """
    if name.endswith(".toml"):
        from emo_bench.methods.command.method import command_class

        return _checked(command_class(Path(name)), name)
    file, _, attribute = name.rpartition(":") if not name.endswith(".py") else (name, "", "")
    if file.endswith(".py"):
        return _checked(_attribute(_module_from_file(Path(file)), attribute, file), name)
    places = known_methods()
    if name not in places:
        raise unknown_name("method", name, places, ", path/to/file.py:Class or path/to/file.toml")
    module, _, attribute = places[name].partition(":")
    with _in_one_line(f"method {name} cannot be imported from {module}"):
        loaded = importlib.import_module(module)
    found = _checked(_attribute(loaded, attribute, module), name)
    if found.info.name != name:
        raise UserError(f"method {name}: {places[name]} calls itself {found.info.name!r}")
    return found


def method_file(name: str) -> Path | None:
    """The file of a method named as ``path/to/file.py:Class`` or ``path/to/file.toml``; None for another name."""
    if name.endswith(".toml"):
        return Path(name)
    file = name.rpartition(":")[0]
    return Path(file) if file.endswith(".py") else None


def profiles_of(cls: type[Method]) -> tuple[str, ...]:
    """The names of the method's profiles; a MethodError says that it fails to give them."""
    who = f"method {cls.info.name}"
    with kept_apart(who), plug_in_call(who, "profiles"):
        return cls.profiles()


def assets_of(cls: type[Method], profile: str) -> tuple[str, ...]:
    """The names of the assets that a profile needs.

    Raises:
        MethodError: the method fails to give them, or gives something else than names of the catalogue.
    """
    who = f"method {cls.info.name}"
    with kept_apart(who), plug_in_call(who, "required_assets"):
        names = cls.required_assets(profile)
    known = {asset.name for asset in assets.list_assets()}
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) and name in known for name in names):
        raise MethodError(
            f"{who}: required_assets({profile!r}) gives {names!r}: give names of assets (emo-bench assets list)"
        )
    return tuple(names)


def build(cls: type[Method], workspace: Workspace) -> Method:
    """The method over its workspace.

    Raises:
        UserError: it refuses its settings, or has no ``resolution_px``.
    """
    method = cls(workspace)
    # A class may leave out super().__init__.
    method.workspace = getattr(method, "workspace", workspace)
    size = getattr(method, "resolution_px", None)
    if not isinstance(size, int) or size < LEAST_PX:
        raise UserError(
            f"method {cls.info.name}: resolution_px is {size!r}: the side of its square frames, {LEAST_PX} px or more"
        )
    return method


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a method as path/to/file.py:Class")
    module_name = f"emo_bench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    # Modules beside it come first while it is imported, as for a script, and last for imports inside its functions.
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with _in_one_line(f"{path} cannot be imported"):
            spec.loader.exec_module(module)
    except UserError:
        del sys.modules[module_name]
        raise
    finally:
        sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)
    return module


@contextmanager
def _in_one_line(failed: str) -> Iterator[None]:
    """Whatever a method's module raises is one line with its place."""
    try:
        with kept_apart("a method's file"):
            yield
    except (Exception, SystemExit) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        what = " ".join(f"{type(error).__name__}: {said}".split())
        place = place_of(error)
        raise UserError(f"{failed}: {what}{f' ({place})' if place else ''}") from error


def _attribute(module: ModuleType, attribute: str, place: str) -> type[Method]:
    """The class of that name; ``place`` says in messages where it was looked for."""
    found = getattr(module, attribute, None)
    if isinstance(found, type) and issubclass(found, Method):
        return found
    if found is not None:
        raise UserError(f"{place}: {attribute} is not a subclass of emo_bench.methods.interface.Method")
    there = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    has = f"it has {', '.join(there)}" if there else "it has no subclass of emo_bench.methods.interface.Method"
    if attribute:
        raise UserError(f"{place} has no class {attribute}; {has}")
    raise UserError(f"{place}: name its class, as in {place}:{there[0] if there else 'Class'}; {has}")


def _checked(cls: type[Method], name: str) -> type[Method]:
    """The class, if it has all that a method needs before it is built."""
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise UserError(f"method {name}: {cls.__name__} lacks {', '.join(lacking)}")
    info = getattr(cls, "info", None)
    if not isinstance(info, MethodInfo):
        raise UserError(f"method {name}: {cls.__name__}.info is not an emo_bench.methods.interface.MethodInfo")
    offered = profiles_of(cls)
    if not isinstance(offered, (tuple, list)) or not offered:
        raise UserError(f"method {name}: {cls.__name__}.profiles() gives no names, but {offered!r}")
    for what, text in (("a method", info.name), *(("a profile", profile) for profile in offered)):
        if not isinstance(text, str) or not NAME.fullmatch(text):
            raise UserError(f"method {name}: {text!r} cannot name {what}: {NAME_RULE}")
    return cls
