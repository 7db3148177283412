"""The known methods: built-in ones, installed plug-ins, and methods in a Python or TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emo_bench import assets
from emo_bench.errors import MethodError, UserError
from emo_bench.methods.clip_method import AVATAR, VIDEO_EDITOR, clip_method_class
from emo_bench.methods.interface import LEAST_PX, NAME, NAME_RULE, Method, MethodInfo, VideoEditor, Workspace
from emo_bench.plug_ins.calls import kept_apart, plug_in_call
from emo_bench.plug_ins.loading import Kind, file_and_class, load_class

ENTRY_POINT_GROUP = "emo_bench.methods"
# The trivial methods; every report shows them.
TRIVIAL = ("mean-frame", "nearest-frame")
# The recorded frames as a row of a table of edits; it is not ranked, because it edits nothing.
UNEDITED = "recorded"
_AVATARS = {
    "emo-avatar": "emo_avatar.method:EmoAvatar",
    "mean-frame": "baselines.mean_frame:MeanFrame",
    "nearest-frame": "baselines.nearest_frame:NearestFrame",
    "insta": "baselines.insta.method:Insta",
    "point-avatar": "baselines.point_avatar.method:PointAvatar",
    "flash-avatar": "baselines.flash_avatar.method:FlashAvatar",
    "deep-video-portraits": "baselines.deep_video_portraits.method:DeepVideoPortraits",
    "style-avatar": "baselines.style_avatar.method:StyleAvatar",
}
_VIDEO_EDITORS = {
    "instruct-pix2pix": "baselines.instruct_pix2pix:InstructPix2Pix",
    "frame-style": "baselines.frame_style:FrameStyle",
    "tokenflow": "baselines.tokenflow.method:TokenFlow",
    "rerender": "baselines.rerender.method:Rerender",
    "rave": "baselines.rave.method:Rave",
    UNEDITED: "baselines.recorded:Recorded",
}
_KIND = Kind(
    "method",
    ENTRY_POINT_GROUP,
    (Method, VideoEditor),
    "emo_bench.methods.interface.Method or VideoEditor",
    {**_AVATARS, **_VIDEO_EDITORS},
    ", path/to/file.py:Class or path/to/file.toml",
)


def known_methods() -> Mapping[str, str]:
    """Return ``name -> "module:Class"``: built-in methods, then plug-ins by name, which cannot replace them."""
    return _KIND.places()


def listed_kind(name: str) -> str:
    """Return the kind of a known method without importing it; that of a plug-in is not known before."""
    if name in _VIDEO_EDITORS:
        return VIDEO_EDITOR
    return AVATAR if name in _AVATARS else "plug-in"


def method_class(name: str) -> type[Method]:
    """Return the class of a method by its name, by ``path/to/file.py:Class``, or by a command method's TOML file.

    A video editor comes as the method class around it, see :mod:`emo_bench.methods.clip_method`.

    Raises:
        UserError: there is no such method, it cannot be imported, or its class lacks something.
    """
    if name.endswith(".toml"):
        from emo_bench.methods.command.method import command_class

        return _checked(command_class(Path(name)), name)
    loaded = load_class(name, _KIND)
    found = _checked(clip_method_class(loaded) if issubclass(loaded, VideoEditor) else loaded, name)
    if file_and_class(name) is None and found.info.name != name:
        raise UserError(f"method {name}: {known_methods()[name]} calls itself {found.info.name!r}")
    return found


def method_file(name: str) -> Path | None:
    """Return the file of a method given as ``path/to/file.py:Class`` or ``path/to/file.toml``; None for other names."""
    if name.endswith(".toml"):
        return Path(name)
    in_file = file_and_class(name)
    return in_file[0] if in_file else None


def profiles_of(cls: type[Method]) -> tuple[str, ...]:
    """Return the names of the method's profiles; MethodError if the method fails to give them."""
    who = f"method {cls.info.name}"
    with kept_apart(who), plug_in_call(who, "profiles"):
        return cls.profiles()


def assets_of(cls: type[Method], profile: str) -> tuple[str, ...]:
    """Return the names of the assets that a profile needs.

    Raises:
        MethodError: the method fails to give them, or gives names that are not in the catalogue.
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
    """Build the method over its workspace.

    Raises:
        UserError: it refuses its settings, or has no ``resolution_px``.
    """
    method = cls(workspace)
    # A class may not call super().__init__.
    method.workspace = getattr(method, "workspace", workspace)
    size = getattr(method, "resolution_px", None)
    if not isinstance(size, int) or size < LEAST_PX:
        raise UserError(
            f"method {cls.info.name}: resolution_px is {size!r}: the side of its square frames, {LEAST_PX} px or more"
        )
    return method


def _checked(cls: type[Method], name: str) -> type[Method]:
    """Return the class after checking that it has all that a method needs before it is built."""
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
