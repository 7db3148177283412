"""Splits: frame lists from a protocol's rule, the same on every machine."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emo_bench.errors import UserError
from protocols.loader import Protocol, SplitRule


@dataclass(frozen=True)
class Split:
    """The frames of one capture, divided; every list ascends and no frame is in two of them.

    Attributes:
        name: of the rule, e.g. ``tail-500``.
        train, test: what a method may learn from, and what it is scored on.
        guard: kept out of training because a held-out frame is near.
        unused: left out of training because the rule takes only so many.
        faceless: frames without a face, in no other list.
        flags: what a reader must know, e.g. that the capture was too short for the rule.
    """

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    guard: tuple[int, ...]
    unused: tuple[int, ...]
    faceless: tuple[int, ...]
    flags: tuple[str, ...]

    def digest(self) -> str:
        """SHA-256 of the training and held-out lists."""
        text = f"train {format_frames(self.train)} test {format_frames(self.test)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; the frame lists as text (:func:`format_frames`)."""
        lists = ("train", "test", "guard", "unused", "faceless")
        plain: dict[str, Any] = asdict(self) | {name: format_frames(getattr(self, name)) for name in lists}
        return plain | {"flags": list(self.flags), "sha256": self.digest()}


def split(protocol: Protocol, capture_length: int, valid_indices: Iterable[int], name: str | None = None) -> Split:
    """Divide a capture's frames.

    Args:
        protocol: whose rules.
        capture_length: frames of the capture.
        valid_indices: its frames with a face; only these train or are held out.
        name: of the split; None takes the protocol's default.

    Raises:
        UserError: no such split, or too few frames with a face.
    """
    name, rule = protocol.rule(name)
    valid = sorted({int(i) for i in valid_indices})
    if valid and not 0 <= valid[0] <= valid[-1] < capture_length:
        raise ValueError(f"valid_indices leave the capture's {capture_length} frames")
    if len(valid) < protocol.minimum_frames:
        raise UserError(
            f"the video has {len(valid)} frames with a face; protocol {protocol.name} needs at least "
            f"{protocol.minimum_frames}: use a longer video"
        )
    flags = []
    held_out = rule.held_out_frames
    if len(valid) < protocol.short_below_frames:
        held_out = max(1, round(len(valid) * protocol.short_share))
        flags.append(
            f"short capture: {held_out} frames held out ({protocol.short_share:.0%} of {len(valid)}) "
            f"instead of {rule.held_out_frames}"
        )
    faceless = sorted(set(range(capture_length)) - set(valid))
    if faceless:
        flags.append(f"{len(faceless)} of {capture_length} frames have no face and are left out")
    test = _held_out(rule, valid, held_out)
    train, guard = _guarded(valid, test, rule.guard_frames)
    if not train:
        raise UserError(f"split {name} leaves no frame to train on: use a longer video or another split")
    kept = _evenly(train, rule.train_frames_at_most)
    unused = sorted(set(train) - set(kept))
    return Split(name, tuple(kept), tuple(test), tuple(guard), tuple(unused), tuple(faceless), tuple(flags))


def format_frames(frames: Sequence[int]) -> str:
    """Ascending frame numbers as text, runs shortened: ``0-3,7``."""
    parts: list[list[int]] = []
    for frame in frames:
        if parts and frame == parts[-1][1] + 1:
            parts[-1][1] = frame
        else:
            parts.append([frame, frame])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)


def parse_frames(text: str) -> tuple[int, ...]:
    """What :func:`format_frames` wrote."""
    frames: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        frames.extend(range(int(first), int(last or first) + 1))
    return tuple(frames)


def _held_out(rule: SplitRule, valid: list[int], count: int) -> list[int]:
    if rule.kind == "tail":
        return valid[-count:]
    # Ranking by hash draws uniformly and, unlike a library's generator, never changes with a version.
    ranked = sorted(valid, key=lambda frame: hashlib.sha256(f"{rule.seed}/{frame}".encode()).digest())
    return sorted(ranked[:count])


def _guarded(valid: list[int], test: list[int], guard_frames: int) -> tuple[list[int], list[int]]:
    gaps = {frame: _gap(test, frame) for frame in valid}
    train = [frame for frame, gap in gaps.items() if gap > guard_frames]
    guard = [frame for frame, gap in gaps.items() if 0 < gap <= guard_frames]
    return train, guard


def _gap(ascending: Sequence[int], frame: int) -> int:
    """How far the nearest of some frames is away; 0 for one of them."""
    at = bisect.bisect_left(ascending, frame)
    return min(abs(frame - near) for near in ascending[max(at - 1, 0) : at + 1])


def _evenly(frames: list[int], at_most: int | None) -> list[int]:
    if at_most is None or len(frames) <= at_most:
        return frames
    return [frames[i * len(frames) // at_most] for i in range(at_most)]
