"""Who drives the subject of a run, and the captures from which a run is rendered and on which it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import protocols
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Subject
from emo_bench.runs.transfer import driven_capture
from emo_bench.runs.views import viewed_capture
from emo_bench.text.closest import closest
from emo_bench.tracking.head_rig import EXPRESSIONS
from protocols.loader import CROSS_REENACTMENT

# Frames of the subject with which the identity of the rendered frames is compared.
SUBJECT_FRAMES = 20


def driver_of(protocol: protocols.Protocol, name: str | None) -> Capture | None:
    """Return the capture of the driver of a run; None for a protocol in which nobody drives another.

    Raises:
        UserError: the protocol needs a driver and none is named, or the reverse, or there is no such actor.
    """
    if protocol.task != CROSS_REENACTMENT:
        if name is not None:
            raise UserError(
                f"protocol {protocol.name} has no driver: leave out --driver, or add --protocol cross_reenactment"
            )
        return None
    if name is None:
        raise UserError(f"protocol {protocol.name} drives an avatar by another actor: name the actor with --driver")
    return actors.load(name)


def split_of(
    protocol: protocols.Protocol, capture: Capture, driver: Capture | None, name: str | None = None
) -> protocols.Split:
    """Return the split of a run; ``test`` has frames of the driver in cross-reenactment, and numbers of novel views.

    Raises:
        UserError: there is no such split, or the videos do not have its frames.
    """
    if (driver is None) != (protocol.driving is None):
        raise UserError(f"a run of protocol {protocol.name} {'has no' if driver else 'needs a'} driver")
    own = len(capture), capture.valid_indices
    if protocol.views is not None:
        return protocols.view_split(protocol, *own, name)
    if driver is None:
        rule = protocol.rule(name)[1]
        angles = capture.track.yaw_pitch_deg().tolist() if rule.kind == "pose" else None
        coefficient = None if rule.coefficient is None else _coefficient(protocol, capture, rule.coefficient)
        return protocols.split(protocol, *own, name, angles, coefficient)
    theirs = len(driver), driver.valid_indices
    return protocols.drive_split(protocol, own, theirs, (capture.name, driver.name), name)


def _coefficient(protocol: protocols.Protocol, capture: Capture, name: str) -> list[float]:
    """Return an expression coefficient of the track in every frame.

    Raises:
        UserError: the track has no coefficient of that name.
    """
    if name not in EXPRESSIONS:
        near = closest(name, EXPRESSIONS)
        guess = f": did you mean {near}?" if near else ""
        raise UserError(f"protocol {protocol.name}: {name!r} is none of ARKit's 52 expression coefficients{guess}")
    return [float(value) for value in capture.track.coefficient(name)]


def rendered_capture(protocol: protocols.Protocol, capture: Capture, driver: Capture | None) -> Capture:
    """Return what a method renders from: the capture without readable frames, with the track that moves the avatar."""
    if protocol.views is not None:
        return viewed_capture(capture, protocol.views)
    if driver is None or protocol.driving is None:
        return capture.restricted(())
    return driven_capture(capture, driver, protocol.driving.transfer)


def driver_in(manifest: Mapping[str, Any]) -> Capture | None:
    """Return the capture of the driver of a run; None for a run without one.

    Raises:
        UserError: it is not here, or no longer the one that the run was made with.
    """
    named = manifest["identity"].get("driver")
    return None if named is None else load_same(named)


def load_same(named: Mapping[str, Any]) -> Capture:
    """Return the capture of an actor that a run names.

    Raises:
        UserError: it is not here, or no longer the one that the run was made with.
    """
    capture = actors.load(named["name"])
    if capture.sha256 != named["sha256"]:
        raise UserError(f"actor {named['name']} on this machine is not the one that the run was made with")
    return capture


def subject_of(capture: Capture, train: Sequence[int], size_px: int) -> Subject | None:
    """Return the subject of a run: up to ``SUBJECT_FRAMES`` of its training frames, spread evenly; None without any.

    Args:
        capture: the capture with readable frames.
        train: the training frames.
        size_px: side of the rendered frames.
    """
    if not train:
        return None
    chosen = sorted({int(i) for i in np.linspace(0, len(train) - 1, SUBJECT_FRAMES).round()})
    return Subject(lambda: np.stack(list(capture.frames([train[i] for i in chosen], size=size_px))))
