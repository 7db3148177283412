"""The checks of what every method promises, on a small capture; the result of each check is one line."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor
from emo_bench.methods.contract.fit import (
    SEED,
    START_LIMIT_S,
    TEST,
    TRAIN,
    FitProcess,
    Outcome,
    digest_of,
    in_words,
    opened,
    seed_all,
)
from emo_bench.methods.contract.withholding import home_without
from emo_bench.methods.interface import SMOKE_PROFILE, Method, Workspace
from emo_bench.plug_ins.check import Check

# A fit that is shorter than this, in seconds, cannot be interrupted at a chosen moment.
SHORTEST_FIT_S = 0.5
# A process may take this many times the time of the first fit and render, plus its start.
SLOWEST = 10
CAPABILITIES = frozenset({"render", "edit", "novel-view"})
UNKNOWN_SETTING = "no-such-setting"


def check_method(name: str, actor: str = "1") -> Iterator[Check]:
    """Check a method's smallest profile on 24 training and 6 held-out frames; a video editor edits those 6.

    The working folder is removed, unless a failed check names a file in it.

    Raises:
        UserError: there is no such method or actor, or its class lacks something.
    """
    cls = methods.method_class(name)
    capture = actors.load(actor)
    folder = Path(tempfile.mkdtemp(prefix="emo-bench-check-"))
    kept = False
    try:
        for check in _Trial(name, cls, capture, folder).checks():
            named = check.ok is False and str(folder) in check.detail
            kept |= named
            yield replace(check, detail=f"{check.detail}; {folder} is kept") if named else check
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


class _Trial:
    """The checks of one method; they stop after a failed check that the next ones depend on."""

    def __init__(self, name: str, cls: type[Method], capture: Capture, folder: Path) -> None:
        self.name, self.cls, self.capture, self.folder = name, cls, capture, folder
        offered = cls.profiles()
        self.profile = SMOKE_PROFILE if SMOKE_PROFILE in offered else offered[0]
        self.edits = is_video_editor(cls)
        self.work_s = self.limit_s = 0.0

    def checks(self) -> Iterator[Check]:
        yield Check("profiles", True, ", ".join(self.cls.profiles()))
        described = _tried(self._describe)
        yield described
        if not described.ok:
            return
        yield _tried(self._unknown_setting)
        yield _tried(self._capabilities)
        first = self._fitted()
        yield first[0]
        if first[1] is None:
            return
        if not self.edits:
            yield _tried(self._load, first[1])
        yield from self._same_again(first[1])
        yield self._interrupted(first[1])

    def build(self, part: str, settings: Mapping[str, str] | None = None) -> Method:
        folder = self.folder / part
        folder.mkdir(exist_ok=True)
        return opened(self.cls, Workspace(folder, self.profile, SEED, settings=settings or {}))

    def _describe(self) -> Check:
        described = self.build("describe").describe()
        json.dumps(described, allow_nan=False)
        written = list((self.folder / "describe").iterdir())
        return Check("describe is JSON", not written, f"building it wrote {written[0].name}" if written else "")

    def _unknown_setting(self) -> Check:
        name = "an unknown setting is refused"
        try:
            self.build("setting", {UNKNOWN_SETTING: "1"})
        except UserError:
            return Check(name, True)
        return Check(name, False, f"--set {UNKNOWN_SETTING}=1 is taken: raise UserError for it in __init__")

    def _capabilities(self) -> Check:
        claimed = self.cls.info.capabilities
        wrong = [f"there is no {what!r}" for what in claimed if what not in CAPABILITIES]
        if self.edits and claimed != {"edit"}:
            wrong.append("those of a video editor are {'edit'}")
        elif "edit" in claimed and self.cls.edit is Method.edit:
            wrong.append("it says edit and has none")
        return Check("capabilities", not wrong, wrong[0] if wrong else ", ".join(sorted(claimed)))

    def _fitted(self) -> tuple[Check, str | None]:
        """Fit and render, or edit, in this process; return the digest of the frames, or None if that fails."""
        name = "frames: count, shape, dtype, range"
        began = time.monotonic()
        try:
            method = self.build("first")
            before = _identity(method)
            seed_all()
            work_began = time.monotonic()
            if self.edits:
                frames = list(method.render(self.capture.restricted(TEST), list(TEST)))
                self.work_s = time.monotonic() - work_began
            else:
                method.fit(self.capture.restricted(TRAIN), list(TRAIN))
                self.work_s = time.monotonic() - work_began
                frames = list(method.render(self.capture.restricted(()), list(TEST)))
        except Exception as error:  # noqa: BLE001 - whatever the method raises is the finding
            return Check(name, False, in_words(error)), None
        self.limit_s = START_LIMIT_S + SLOWEST * (time.monotonic() - began)
        wrong = _wrong_frames(frames, method.resolution_px)
        if not wrong and _identity(method) != before:
            wrong = f"describe()'s config or assets changed by {'editing' if self.edits else 'fitting'}"
        return Check(name, not wrong, wrong or f"{len(frames)} of {method.resolution_px} px"), (
            None if wrong else digest_of(frames)
        )

    def _load(self, expected: str) -> Check:
        method = self.build("first")
        method.load()
        same = digest_of(method.render(self.capture.restricted(()), list(TEST))) == expected
        return Check("load gives the same frames", same, "" if same else "a fresh object renders others")

    def _same_again(self, expected: str) -> Iterator[Check]:
        """Do it again without the pictures that are not given; if the result differs, repeat it with them.

        So the cause is found: chance, or the pictures.
        """
        home = home_without(self.capture, TEST if self.edits else TRAIN, self.folder / "home")
        withheld = self._outcome("withheld", home)
        again = withheld if withheld.digest == expected else self._outcome("second")
        same = again.digest == expected
        yield Check(
            "same seed, same frames", same, "" if same else again.error or f"a second {self._work} gives others"
        )
        name = (
            "pictures outside the clip absent, same frames" if self.edits else "held-out pictures absent, same frames"
        )
        if not same:
            yield Check(name, None, f"not tried: the {self._work} is not deterministic")
        elif withheld.error:
            error = withheld.error.replace(str(home), "EMO_BENCH_HOME")
            yield Check(name, False, f"the method needs pictures that it was not given; without them: {error}")
        else:
            kept = withheld.digest == expected
            yield Check(name, kept, "" if kept else "the frames depend on pictures that it was not given")

    def _interrupted(self, expected: str) -> Check:
        name = f"killed in the {self._work}, it goes on to the same frames"
        if self.work_s < SHORTEST_FIT_S:
            return Check(name, None, f"not tried: the {self._work} takes only {self.work_s:.2f} s")
        if not self._process("killed").kill_at_work(self.work_s / 2):
            return Check(name, None, f"not tried: the {self._work} was over before it could be killed")
        second = self._outcome("killed")
        if second.error:
            return Check(name, False, f"the second attempt failed: {second.error}")
        same = second.digest == expected
        return Check(name, same, "" if same else "it gives other frames than an undisturbed " + self._work)

    @property
    def _work(self) -> str:
        return "edit" if self.edits else "fit"

    def _outcome(self, part: str, home: Path | None = None) -> Outcome:
        return self._process(part, home).outcome(self.limit_s)

    def _process(self, part: str, home: Path | None = None) -> FitProcess:
        return FitProcess(self.name, self.capture.name, self.profile, self.folder / part, home)


def _identity(method: Method) -> str:
    described = method.describe()
    return json.dumps([described.get("config"), described.get("assets")], sort_keys=True, default=str)


def _wrong_frames(frames: Sequence[object], size: int) -> str:
    if len(frames) != len(TEST):
        return f"{len(frames)} frames; {len(TEST)} were asked for"
    for frame in frames:
        if not isinstance(frame, np.ndarray):
            return f"a frame is {type(frame).__name__}, not an array"
        if frame.dtype != np.uint8 or frame.shape != (size, size, 3):
            return f"a frame is {frame.dtype} {frame.shape}, not uint8 ({size}, {size}, 3)"
    if max(int(frame.max()) for frame in frames if isinstance(frame, np.ndarray)) <= 1:
        return "no value is above 1: frames are 0 to 255"
    return ""


def _tried(check: Callable[..., Check], *arguments: object) -> Check:
    try:
        return check(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the method raises is the finding
        return Check(check.__name__.strip("_").replace("_", " "), False, in_words(error))
