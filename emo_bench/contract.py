"""What every method promises, tried on a small capture: one check after the other, each said in one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from emo_bench import actors, methods
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.lossless import FrameDigest
from emo_bench.method import SMOKE_PROFILE, Method, Workspace

TRAIN, TEST = tuple(range(24)), tuple(range(30, 36))
SEED = 3
# Below this an interruption cannot be placed inside the fit.
SHORTEST_FIT_S = 0.5


@dataclass(frozen=True)
class Check:
    """The outcome of one promise: ``ok`` is None where it could not be tried; ``detail`` says why or what."""

    name: str
    ok: bool | None
    detail: str = ""


def check_method(name: str, actor: str = "1") -> Iterator[Check]:
    """Run a method's smallest profile through the contract, on 24 training and 6 held-out frames.

    Raises:
        UserError: there is no such method or actor.
    """
    cls = methods.method_class(name)
    capture = actors.load(actor)
    with tempfile.TemporaryDirectory(prefix="emo-bench-check-") as folder:
        yield from _Trial(name, cls, capture, Path(folder)).checks()


class _Trial:
    """One method being tried; stops after the first check without which the next mean nothing."""

    def __init__(self, name: str, cls: type[Method], capture: Capture, folder: Path) -> None:
        self.name, self.cls, self.capture, self.folder = name, cls, capture, folder
        offered = cls.profiles()
        self.profile = SMOKE_PROFILE if SMOKE_PROFILE in offered else offered[0] if offered else ""
        self.fit_s = 0.0

    def checks(self) -> Iterator[Check]:
        for check in (self._profiles, self._describe):
            result = _tried(check)
            yield result
            if not result.ok:
                return
        began = time.monotonic()
        first = self._fitted("first")
        yield first[0]
        self.fit_s = time.monotonic() - began
        if first[1] is None:
            return
        yield _tried(self._load, first[1])
        yield from self._same_again(first[1])
        yield _tried(self._interrupted, first[1])

    def build(self, part: str) -> Method:
        folder = self.folder / part
        folder.mkdir(exist_ok=True)
        return self.cls(Workspace(folder, self.profile, SEED))

    def _profiles(self) -> Check:
        offered = self.cls.profiles()
        wrong = not offered or not all(isinstance(profile, str) for profile in offered)
        return Check("profiles", not wrong, ", ".join(map(str, offered)) or "there are none")

    def _describe(self) -> Check:
        described = self.build("describe").describe()
        json.dumps(described, allow_nan=False)
        written = list((self.folder / "describe").iterdir())
        return Check(
            "describe is JSON", not written, f"building it wrote {written[0].name}" if written else ""
        )

    def _fitted(self, part: str, capture: Capture | None = None) -> tuple[Check, str | None]:
        """Fit and render; the frames' digest, or None with what was wrong."""
        name = "frames: count, shape, dtype, range"
        try:
            method = self.build(part)
            before = _identity(method)
            seed_all()
            method.fit((capture or self.capture).restricted(TRAIN), list(TRAIN))
            frames = list(method.render(self.capture.restricted(()), list(TEST)))
        except Exception as error:  # noqa: BLE001 - whatever the method raises is the finding
            return Check(name, False, f"{type(error).__name__}: {error}"), None
        wrong = _wrong_frames(frames, method.resolution_px)
        if not wrong and _identity(method) != before:
            wrong = "describe()'s config or assets changed by fitting"
        return Check(name, not wrong, wrong or f"{len(frames)} of {method.resolution_px} px"), (
            None if wrong else _digest(frames)
        )

    def _load(self, expected: str) -> Check:
        method = self.build("first")
        method.load()
        same = _digest(list(method.render(self.capture.restricted(()), list(TEST)))) == expected
        return Check("load gives the same frames", same, "" if same else "a fresh object renders others")

    def _same_again(self, expected: str) -> Iterator[Check]:
        """A second fit without the held-out pictures; if it differs, a third with them tells which promise broke."""
        removed = withhold(self.capture, TRAIN, self.folder / "withheld.mkv")
        _, again = self._fitted("withheld", removed)
        same = again == expected or self._fitted("second")[1] == expected
        yield Check("same seed, same frames", same, "" if same else "a second fit renders others")
        if again != expected and not same:
            yield Check(
                "held-out pictures absent, same frames", None, "not tried: the fit is not deterministic"
            )
            return
        detail = "" if again == expected else "the fit depends on pictures that it was not given"
        yield Check("held-out pictures absent, same frames", again == expected, detail)

    def _interrupted(self, expected: str) -> Check:
        name = "killed in the fit, it goes on to the same frames"
        if self.fit_s < SHORTEST_FIT_S:
            return Check(name, None, f"not tried: the fit takes only {self.fit_s:.2f} s")
        process = self._start_fit()
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=self.fit_s / 2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            return Check(name, None, "not tried: the fit was over before it could be killed")
        second = self._start_fit()
        if second.wait() != 0:
            return Check(name, False, "the second attempt failed")
        method = self.build("killed")
        method.load()
        same = _digest(list(method.render(self.capture.restricted(()), list(TEST)))) == expected
        return Check(name, same, "" if same else "it renders other frames than an undisturbed fit")

    def _start_fit(self) -> subprocess.Popen[bytes]:
        words = [self.name, self.capture.name, str(self.folder / "killed"), self.profile]
        command = [sys.executable, "-m", "emo_bench.contract", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def withhold(capture: Capture, readable: Sequence[int], path: Path) -> Capture:
    """A capture whose video holds the frames ``readable`` alone, bit for bit, at their own times; no other is in it."""
    import av

    rate = Fraction(capture.fps).limit_denominator(1001)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=rate, options={"g": "1"})
        stream.width = stream.height = capture.size_px
        stream.pix_fmt = "bgr0"
        # A first frame at time 0 keeps the numbers, which readers count from the stream's start.
        blank = np.zeros((capture.size_px, capture.size_px, 3), dtype=np.uint8)
        pictures = zip(readable, capture.frames(readable), strict=True)
        for i, picture in ([] if readable[0] == 0 else [(0, blank)]) + list(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return replace(capture, video=path)


def seed_all() -> None:
    """The random state that the runner gives every stage."""
    import random

    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


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


def _digest(frames: Sequence[np.ndarray]) -> str:
    digest = FrameDigest()
    for frame in frames:
        digest.add(frame)
    return digest.hexdigest()


def _tried(check: Callable[..., Check], *arguments: object) -> Check:
    try:
        return check(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the method raises is the finding
        return Check(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}")


def _fit_here(name: str, actor: str, folder: str, profile: str) -> None:
    """One fit in a process of its own, which says when it begins."""
    Path(folder).mkdir(exist_ok=True)
    try:
        method = methods.method_class(name)(Workspace(Path(folder), profile, SEED))
        seed_all()
        capture = actors.load(actor).restricted(TRAIN)
        print("fit", flush=True)
        method.fit(capture, list(TRAIN))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _fit_here(*sys.argv[1:])
