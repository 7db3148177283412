"""Splits: frame lists from a protocol's rule; they are the same on every machine."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from emo_bench.errors import UserError
from protocols.frame_lists import format_frames as format_frames
from protocols.frame_lists import frames_of, ranges_of
from protocols.frame_lists import parse_frames as parse_frames
from protocols.loader import Protocol, SplitRule

# A split by pose or expression needs so many frames beyond what training sees.
LEAST_BEYOND = 20


@dataclass(frozen=True)
class Split:
    """The divided frames of one capture; every list is ascending, and no frame is in two lists.

    In cross-reenactment ``test`` has frames of the driver's capture, and the other lists those of the subject's. For
    novel views ``test`` has the numbers that :class:`protocols.viewing.Viewing` gives to frames.

    Attributes:
        name: the name of the rule, e.g. ``tail-500``.
        train, test: frames that a method is fitted on, and frames that it is scored on.
        guard: frames that are not used for training because a held-out frame is near.
        unused: frames that are not used because the rule limits their number, does not list them, or leaves out poses
            or expressions.
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
        """Return the SHA-256 of the training and held-out lists."""
        text = f"train {format_frames(self.train)} test {format_frames(self.test)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; the frame lists are text (:func:`format_frames`)."""
        lists = ("train", "test", "guard", "unused", "faceless")
        plain: dict[str, Any] = asdict(self) | {name: format_frames(getattr(self, name)) for name in lists}
        return plain | {"flags": list(self.flags), "sha256": self.digest()}


def split(
    protocol: Protocol,
    capture_length: int,
    valid_indices: Iterable[int],
    name: str | None = None,
    yaw_pitch_deg: Sequence[Sequence[float]] | None = None,
    coefficient: Sequence[float] | None = None,
) -> Split:
    """Divide a capture's frames.

    Args:
        protocol: the protocol with the rules.
        capture_length: number of frames in the capture.
        valid_indices: its frames with a face; only these are used for training or held out.
        name: the name of the split; None takes the protocol's default.
        yaw_pitch_deg: yaw and pitch of the head in every frame, ``[T, 2]`` degrees; only a split by pose needs them.
        coefficient: the expression coefficient that the rule names, in every frame, ``[T]`` in [0, 1]; only a split by
            expression needs it.

    Raises:
        UserError: no such split, too few frames with a face, or the split lists frames that the capture does not have.
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
    faceless = sorted(set(range(capture_length)) - set(valid))
    no_face = [f"{len(faceless)} of {capture_length} frames have no face and are left out"] if faceless else []
    if rule.kind == "frames":
        return _listed(protocol, name, rule, capture_length, valid, no_face)
    if rule.kind == "pose":
        beyond = _beyond_pose(protocol, name, rule, valid, yaw_pitch_deg)
        return _extrapolated(name, rule, capture_length, beyond, no_face)
    if rule.kind == "expression":
        beyond = _beyond_expression(protocol, name, rule, valid, coefficient)
        return _extrapolated(name, rule, capture_length, beyond, no_face)
    assert rule.held_out_frames is not None
    flags = []
    held_out = rule.held_out_frames
    if len(valid) < protocol.short_below_frames:
        held_out = max(1, round(len(valid) * protocol.short_share))
        flags.append(
            f"short capture: {held_out} frames held out ({protocol.short_share:.0%} of {len(valid)}) "
            f"instead of {rule.held_out_frames}"
        )
    flags += no_face
    test = _held_out(rule, valid, held_out)
    train, guard = _guarded(valid, test, rule.guard_frames)
    if not train:
        raise UserError(f"split {name} leaves no frame to train on: use a longer video or another split")
    kept = _evenly(train, rule.train_frames_at_most)
    unused = sorted(set(train) - set(kept))
    return Split(name, tuple(kept), tuple(test), tuple(guard), tuple(unused), tuple(faceless), tuple(flags))


def drive_split(
    protocol: Protocol,
    own: tuple[int, Iterable[int]],
    driver: tuple[int, Iterable[int]],
    names: tuple[str, str],
    name: str | None = None,
) -> Split:
    """Return the training frames of a subject, and as ``test`` the frames of the driver.

    The subject's training frames are those of :func:`split`. The driver's frames are those of the listed pair, or the
    first held-out frames of the driver by the same rule.

    Args:
        protocol: a protocol of cross-reenactment.
        own, driver: number of frames in the capture, and the frames with a face, of both.
        names: the names of the subject and of the driver.
        name: the name of the split; None takes the protocol's default.

    Raises:
        UserError: as for :func:`split`, or the driver's video lacks a listed frame or has no face in it.
    """
    assert protocol.driving is not None
    divided = split(protocol, *own, name)
    length, valid = driver[0], sorted({int(i) for i in driver[1]})
    pair, wanted = protocol.driving.pair(*names), protocol.driving.frames
    flags = list(divided.flags)
    if pair is not None:
        test = frames_of(ranges_of(pair.frames))
        lacking = sorted(set(test) - set(valid))
        if lacking:
            raise UserError(
                f"protocol {protocol.name}: frames {format_frames(lacking)[:80]} of driver {names[1]} have no face or "
                f"do not exist (the video has {length} frames): this actor is not the one that the pair was made for"
            )
    else:
        test = split(protocol, length, valid, name).test[:wanted]
        if len(test) < wanted:
            flags.append(f"short driver: {len(test)} frames of {names[1]} drive instead of {wanted}")
    return replace(divided, test=test, flags=tuple(flags))


def view_split(protocol: Protocol, capture_length: int, valid_indices: Iterable[int], name: str | None = None) -> Split:
    """Return the training frames of :func:`split`, and as ``test`` some of its held-out frames in all views.

    Args:
        protocol: a protocol of novel views.
        capture_length, valid_indices, name: as for :func:`split`.

    Raises:
        UserError: as for :func:`split`.
    """
    assert protocol.views is not None
    divided = split(protocol, capture_length, valid_indices, name)
    seen = _evenly(list(divided.test), protocol.views.frames)
    return replace(divided, test=protocol.views.numbers(tuple(seen), capture_length))


def _listed(
    protocol: Protocol, name: str, rule: SplitRule, length: int, valid: Sequence[int], flags: list[str]
) -> Split:
    """Return the frames that the protocol lists, after checking them against the capture."""
    assert rule.train is not None and rule.held_out is not None
    listed = {"train": ranges_of(rule.train), "held_out": ranges_of(rule.held_out)}
    for field, ranges in listed.items():
        if ranges[-1][1] >= length:
            raise UserError(
                f"protocol {protocol.name}: {field} of split {name} names frame {ranges[-1][1]}, and the video has "
                f"{length} frames (0 to {length - 1}): use another video or split, or change the list"
            )
    seen = set(valid)
    test = frames_of(listed["held_out"])
    faceless = [frame for frame in test if frame not in seen]
    if faceless:
        rest = format_frames([frame for frame in test if frame in seen])
        raise UserError(
            f"protocol {protocol.name}: held-out frames {format_frames(faceless)} of split {name} have no face; write "
            f'held_out = "{rest}"'
        )
    train = tuple(frame for frame in frames_of(listed["train"]) if frame in seen)
    if not train:
        raise UserError(f"protocol {protocol.name}: no training frame of split {name} has a face: list others")
    _, guard = _guarded(list(valid), list(test), rule.guard_frames)
    unused = sorted(seen.difference(train, test, guard))
    hidden = sorted(set(range(length)) - seen)
    return Split(name, train, test, tuple(guard), tuple(unused), tuple(hidden), tuple(flags))


@dataclass(frozen=True)
class _Beyond:
    """How far each frame lies beyond what training may see.

    Attributes:
        excess: for each frame with a face, its distance beyond the bound; 0 or less for a frame that may train.
        margin: a frame that exceeds the bound by more than this may be held out.
        what: what the held-out frames show, for the reader, e.g. "turned heads".
        too_few: the message if hardly any frame may be held out, with ``{count}`` for their number.
    """

    excess: Mapping[int, float]
    margin: float
    what: str
    too_few: str


def _beyond_pose(
    protocol: Protocol,
    name: str,
    rule: SplitRule,
    valid: Sequence[int],
    yaw_pitch_deg: Sequence[Sequence[float]] | None,
) -> _Beyond:
    """Return how far the head is turned beyond the rule's range of yaw and pitch around their medians, in degrees."""
    assert rule.within_yaw_deg is not None and rule.within_pitch_deg is not None and rule.margin_deg is not None
    if yaw_pitch_deg is None:
        raise UserError(f"split {name} of protocol {protocol.name} divides by head pose, and here none is known")
    excess = dict.fromkeys(valid, -1.0)
    for axis, within in enumerate((rule.within_yaw_deg, rule.within_pitch_deg)):
        angles = [float(yaw_pitch_deg[i][axis]) for i in valid]
        middle = median(angles)
        excess = {i: max(excess[i], abs(angle - middle) - within) for i, angle in zip(valid, angles, strict=True)}
    too_few = (
        f"the head turns more than {rule.within_yaw_deg:g} degrees to a side or {rule.within_pitch_deg:g} up or "
        f"down in only {{count}} frames of the video"
    )
    return _Beyond(excess, rule.margin_deg, "turned heads", too_few)


def _beyond_expression(
    protocol: Protocol, name: str, rule: SplitRule, valid: Sequence[int], coefficient: Sequence[float] | None
) -> _Beyond:
    """Return by how much the rule's expression coefficient exceeds what training may see."""
    assert rule.within is not None and rule.margin is not None
    if coefficient is None:
        raise UserError(
            f"split {name} of protocol {protocol.name} divides by {rule.coefficient}, and here it is not known"
        )
    excess = {i: float(coefficient[i]) - rule.within for i in valid}
    bound = rule.within + rule.margin
    too_few = f"{rule.coefficient} is above {bound:g} in only {{count}} frames of the video"
    return _Beyond(excess, rule.margin, f"frames with {rule.coefficient} above {bound:g}", too_few)


def _extrapolated(name: str, rule: SplitRule, length: int, beyond: _Beyond, no_face: list[str]) -> Split:
    """Train on the frames within the bound, and hold out those that lie far beyond it."""
    assert rule.held_out_frames is not None
    valid = list(beyond.excess)
    far = [i for i in valid if beyond.excess[i] > beyond.margin]
    if len(far) < LEAST_BEYOND:
        said = beyond.too_few.format(count=len(far))
        raise UserError(f"{said}; split {name} needs {LEAST_BEYOND}: use another video")
    test = _evenly(far, rule.held_out_frames)
    train, guard = _guarded([i for i in valid if beyond.excess[i] <= 0], test, rule.guard_frames)
    if not train:
        raise UserError(f"split {name} leaves no frame to train on: use a longer video or another split")
    kept = _evenly(train, rule.train_frames_at_most)
    few = f"few {beyond.what}: {len(test)} frames held out instead of {rule.held_out_frames}"
    flags = [*([few] if len(test) < rule.held_out_frames else []), *no_face]
    unused = sorted(set(valid).difference(kept, test, guard))
    faceless = sorted(set(range(length)) - set(valid))
    return Split(name, tuple(kept), tuple(test), tuple(guard), tuple(unused), tuple(faceless), tuple(flags))


def _held_out(rule: SplitRule, valid: list[int], count: int) -> list[int]:
    if rule.kind == "tail":
        return valid[-count:]
    # Sorting by a hash draws uniformly, and unlike a library's generator it is the same in every version.
    ranked = sorted(valid, key=lambda frame: hashlib.sha256(f"{rule.seed}/{frame}".encode()).digest())
    return sorted(ranked[:count])


def _guarded(valid: list[int], test: list[int], guard_frames: int) -> tuple[list[int], list[int]]:
    gaps = {frame: _gap(test, frame) for frame in valid}
    train = [frame for frame, gap in gaps.items() if gap > guard_frames]
    guard = [frame for frame, gap in gaps.items() if 0 < gap <= guard_frames]
    return train, guard


def _gap(ascending: Sequence[int], frame: int) -> int:
    """Return the distance to the nearest of some frames, in frames; 0 for one of them."""
    at = bisect.bisect_left(ascending, frame)
    return min(abs(frame - near) for near in ascending[max(at - 1, 0) : at + 1])


def _evenly(frames: list[int], at_most: int | None) -> list[int]:
    if at_most is None or len(frames) <= at_most:
        return frames
    return [frames[i * len(frames) // at_most] for i in range(at_most)]
