"""The true pictures of avatars in poses and views that no camera filmed.

They are the studio's for the listed pairs and views, and the recorded frames of who drives itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np

import protocols
from emo_bench.actors.capture import Capture
from emo_bench.assets import sha256_of
from emo_bench.errors import UserError
from emo_bench.runs.truth_clip import TruthClip, open_truth, truth_file

RENDERED_ONLY = "there is no true picture: the studio has rendered no clip of this pair"


class Pictures(Interface):
    """What frames can be read from by their numbers, such as a capture or a truth clip."""

    def frames(self, indices: Iterable[int], size: int | None = None) -> Iterator[np.ndarray]:
        """Stream frames ``uint8 [S, S, 3]`` RGB in the requested order."""


@dataclass(frozen=True)
class Truth:
    """The true pictures of the subject in the driven pose.

    Attributes:
        pictures: the source of the pictures, by the frame numbers of the driver; None if there are none.
        reason: why there are none, in one line.
    """

    pictures: Pictures | None = None
    reason: str = ""


NO_TRUTH = Truth()


def truth_of(protocol: protocols.Protocol, capture: Capture, driver: Capture | None, test: Sequence[int]) -> Truth:
    """Return the true pictures of a run.

    Args:
        protocol: its protocol.
        capture: the subject.
        driver: who drives; None outside of cross-reenactment, in which the recorded frames are the truth.
        test: the frames of the driver that are scored.

    Raises:
        UserError: the protocol lists a truth clip, and the file is not here, is damaged, or does not show these frames.
    """
    if protocol.driving is None or driver is None or not protocol.scoring.truth_metrics:
        return NO_TRUTH
    if capture.sha256 == driver.sha256:
        return Truth(capture)
    pair = protocol.driving.pair(capture.name, driver.name)
    if pair is None or pair.truth_sha256 is None:
        return Truth(reason=RENDERED_ONLY)
    clip = _clip(f"{pair.subject}-by-{pair.driver}", pair.truth_sha256)
    if any(clip.about[key]["sha256"] != one.sha256 for key, one in (("subject", capture), ("driver", driver))):
        return Truth(reason=RENDERED_ONLY)
    if clip.about["transfer"] != protocol.driving.transfer:
        raise UserError(
            f"protocol {protocol.name}: the truth clip of actor {pair.subject} driven by {pair.driver} follows rule "
            f"{clip.about['transfer']}, not {protocol.driving.transfer}: leave truth_sha256 out"
        )
    lacking = sorted(set(test) - set(clip.frames_shown))
    if lacking:
        raise UserError(
            f"protocol {protocol.name}: the truth clip of actor {pair.subject} driven by {pair.driver} does not show "
            f"frame {lacking[0]}: list other frames, or leave truth_sha256 out"
        )
    return Truth(clip)


def views_clip(protocol: protocols.Protocol, capture: Capture, test: Sequence[int]) -> TruthClip | None:
    """Return the studio's clip of an actor in the views of a protocol; None for a protocol without other views.

    Args:
        protocol: the protocol.
        capture: the actor.
        test: the numbers of the frames that are scored.

    Raises:
        UserError: the protocol has no clip of this actor, or the file is not here, is damaged, or shows something else.
    """
    views = protocol.views
    if views is None:
        return None
    known = ", ".join(views.truth_sha256)
    nobody = UserError(
        f"protocol {protocol.name} scores the studio's actors ({known}), because the studio alone has filmed them from "
        f"other sides: actor {capture.name} is none of them"
    )
    if capture.name not in views.truth_sha256:
        raise nobody
    clip = _clip(f"{capture.name}-views", views.truth_sha256[capture.name])
    if clip.about["subject"]["sha256"] != capture.sha256:
        raise nobody
    cameras = [camera.model_dump() for camera in views.cameras]
    if clip.about["cameras"] != cameras or set(test) - set(clip.frames_shown):
        raise UserError(
            f"protocol {protocol.name}: the truth clip of actor {capture.name} has other cameras or frames: name the "
            "cameras and frames of protocol novel_view"
        )
    return clip


def _clip(name: str, sha256: str) -> TruthClip:
    path = truth_file(name)
    if not path.is_file():
        raise UserError(f"{path}, the truth clip that the protocol names, is missing: install emo-bench again")
    if sha256_of(path) != sha256:
        raise UserError(f"{path} is not the truth clip that the protocol names: install emo-bench again")
    return open_truth(path)
