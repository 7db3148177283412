"""A wrapper that checks what a method raises, returns and yields, and contains its side effects."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emo_bench.errors import MethodError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import EditStyle, Method, Workspace
from emo_bench.methods.max_minutes import SETTING
from emo_bench.plug_ins.calls import kept_apart, plug_in_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emo_bench.actors.capture import Capture

DEEPEST = 40
# Greatest number of characters of one answer as JSON: run.json holds a few answers, and is refused if it is too large.
LONGEST_FACTS = 4_000_000
# Python itself refuses to write longer integers.
MOST_BITS = 1024
_DESCRIBED: Mapping[str, type] = {"config": dict, "assets": dict, "flags": list}

Result = TypeVar("Result")


class WatchedMethod(Method):
    """A method that passes every call on to ``inner``.

    ``workspace`` is the requested one; the folders of the inner workspace are absolute. Exceptions become one line
    (:func:`emo_bench.plug_ins.calls.plug_in_call`). stdout and the working directory are kept
    (:func:`~emo_bench.plug_ins.calls.kept_apart`). Facts must be plain JSON, and frames must have the promised number
    and size.
    """

    def __init__(self, inner: Method, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.inner = inner
        self.info = inner.info  # type: ignore[misc]
        self.resolution_px = inner.resolution_px
        self.fit_files = tuple(inner.fit_files)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return no names; the profiles are those of ``inner``'s class."""
        return ()

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Fit the method; its folder must exist afterwards."""

        def fit() -> None:
            workspace = self.inner.workspace
            if SETTING in workspace.settings:
                self.inner.workspace = dataclasses.replace(workspace, fit_began_s=time.monotonic())
            self.inner.fit(capture, train)

        self._call("fit", fit)

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the method's frames, one per index and of the promised size; at most one frame too many is read."""
        frames = self._call("render", lambda: self.inner.render(capture, indices))
        if not isinstance(frames, Iterable):
            raise MethodError(f"{self._who}: render gives {type(frames).__name__}; it must yield the frames")
        with self._watch("render"):
            source = iter(frames)
        for count in range(len(indices) + 1):
            with self._watch("render"):
                frame = next(source, None)
            if frame is None and count == len(indices):
                return
            if frame is None:
                raise MethodError(f"{self._who} rendered {count} frames; {len(indices)} were asked for")
            if count == len(indices):
                raise MethodError(f"{self._who} rendered more than the {count} frames that were asked for")
            self._require_promised(frame)
            yield frame

    def load(self) -> None:
        """Load the method's fit."""
        self._call("load", self.inner.load)

    def edit(self, style: EditStyle, workspace: Workspace) -> WatchedMethod:
        """Return the method's edit, wrapped too."""
        edited = self._call("edit", lambda: self.inner.edit(style, _placed(workspace)))
        if not isinstance(edited, Method):
            raise MethodError(f"{self._who}: edit gives {type(edited).__name__}; it must give a Method")
        return WatchedMethod(edited, workspace)

    def render_inputs(self) -> Mapping[str, object] | None:
        """Return the method's value, which must be plain JSON."""
        return self._plain("render_inputs", self.inner.render_inputs)

    def describe(self) -> dict[str, object]:
        """Return the method's facts, which must be plain JSON."""
        described: Any = self._plain("describe", self.inner.describe)
        if not isinstance(described, dict):
            raise MethodError(f"{self._who}: describe gives {type(described).__name__}; it must give a dictionary")
        for key, kind in _DESCRIBED.items():
            if key in described and not isinstance(described[key], kind):
                wrong = type(described[key]).__name__
                raise MethodError(f"{self._who}: describe()[{key!r}] is {wrong}, not {kind.__name__}")
        return described

    @property
    def _who(self) -> str:
        return f"method {self.info.name}"

    def _require_promised(self, frame: object) -> None:
        size = self.resolution_px
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape == (size, size, 3):
            return
        what = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise MethodError(f"{self._who} rendered {what}; it promised uint8 ({size}, {size}, 3)")

    def _plain(self, what: str, call: Callable[[], Result]) -> Result:
        with self._watch(what):
            found = call()
            # The value is inspected inside the block, because a dictionary of the method's own class runs the method's
            # code.
            wrong = not_json(found, f"{what}()")
            text = "" if wrong else json.dumps(found)
        if wrong:
            raise MethodError(f"{self._who}: {wrong}")
        if len(text) > LONGEST_FACTS:
            raise MethodError(
                f"{self._who}: {what} gives {len(text) / 1e6:.1f} MB of JSON; at most {LONGEST_FACTS / 1e6:.0f} MB"
            )
        plain: Result = json.loads(text)
        return plain

    def _call(self, what: str, call: Callable[[], Result]) -> Result:
        with self._watch(what):
            return call()

    @contextmanager
    def _watch(self, what: str) -> Iterator[None]:
        folder = self.workspace.folder
        there = folder.is_dir()
        with kept_apart(self._who), plug_in_call(self._who, what):
            yield
        if there and not folder.is_dir():
            raise MethodError(f"{self._who}: {what} removed its folder {folder}: its results are lost")


def build_watched(cls: type[Method], workspace: Workspace) -> WatchedMethod:
    """Build and wrap the method over its workspace; its folders are absolute, so that it may change directory.

    Raises:
        UserError: it refuses its settings, or does not fulfil the interface.
    """
    who = f"method {cls.info.name}"
    with kept_apart(who), plug_in_call(who, "__init__"):
        inner = methods.build(cls, _placed(workspace))
    return WatchedMethod(inner, workspace)


def _placed(workspace: Workspace) -> Workspace:
    cache = workspace.cache and workspace.cache.absolute()
    return dataclasses.replace(workspace, folder=workspace.folder.absolute(), cache=cache)


def not_json(value: object, name: str, depth: int = 0) -> str | None:
    """Return what in a value is not plain JSON, in one line that says where; None if all of it is."""
    if depth > DEEPEST:
        return f"{name[:60]}… is nested deeper than {DEEPEST} levels"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is {value}, which JSON does not have"
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"{name} is a number of {value.bit_length()} bits; at most {MOST_BITS}"
    if isinstance(value, str) and not _is_unicode(value):
        return f"{name} is text with half a character (a lone surrogate), which UTF-8 does not have"
    if value is None or isinstance(value, (str, bool, int, float)):
        return None
    if isinstance(value, (list, tuple)):
        found = (not_json(each, f"{name}[{i}]", depth + 1) for i, each in enumerate(value))
        return next((wrong for wrong in found if wrong), None)
    if not isinstance(value, Mapping):
        return f"{name} is {type(value).__name__}, which is not plain JSON (text, numbers, lists, dictionaries)"
    for key, each in value.items():
        if not isinstance(key, str):
            return f"{name} has the key {str(key)[:40]!r} ({type(key).__name__}); keys must be text"
        if not _is_unicode(key):
            return (
                f"{name} has the key {key[:40]!r} with half a character (a lone surrogate), which UTF-8 does not have"
            )
        wrong = not_json(each, f"{name}[{key[:40]!r}]", depth + 1)
        if wrong:
            return wrong
    return None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
