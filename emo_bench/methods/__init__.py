"""Methods: the published interface, the registry, and the parts for writing a method."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from emo_bench.methods.interface import Clip, EditStyle, Method, MethodInfo, VideoEditor, Workspace

__all__ = ["Clip", "EditStyle", "Method", "MethodInfo", "VideoEditor", "Workspace"]

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"interface": __all__})
