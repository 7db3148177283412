"""A protocol applied to a capture: its training frames, its held-out frames, and the metrics that score them."""

from __future__ import annotations

from dataclasses import dataclass

import protocols
from emo_bench.actors.capture import Capture
from emo_bench.clip.captions import require_readable
from emo_bench.clip.model import find_clip, missing_clip
from emo_bench.errors import MethodError, UserError
from emo_bench.methods.interface import EditStyle, MethodInfo
from emo_bench.metrics.registry import may_use_clip, metric_class
from emo_bench.runs.pairs import driver_of, split_of
from emo_bench.runs.truth import NO_TRUTH, Truth, truth_of, views_clip
from emo_bench.runs.truth_clip import TruthClip
from protocols.loader import NOVEL_VIEW


@dataclass(frozen=True)
class AppliedProtocol:
    """A protocol applied to a capture: its training frames, its held-out frames, and the metrics that score them.

    Attributes:
        protocol: the protocol.
        capture: the capture that a method is fitted on.
        split: its frames; in cross-reenactment ``test`` has frames of the driver.
        driver: the capture of the person who drives the avatar; None outside of cross-reenactment.
        truth: the true pictures of the driven subject.
        views_clip: the pictures of other cameras; None for a protocol without other views.
    """

    protocol: protocols.Protocol
    capture: Capture
    split: protocols.Split
    driver: Capture | None = None
    truth: Truth = NO_TRUTH
    views_clip: TruthClip | None = None

    @property
    def recorded(self) -> Capture:
        """The capture whose motion the rendered frames show: the driver's if there is one."""
        return self.driver or self.capture

    @property
    def renders_own_frames(self) -> bool:
        """Whether the rendered frames are those of the capture's own video: nobody drives, and no other camera sees."""
        return self.driver is None and self.views_clip is None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The ids of the metrics; all of them are known."""
        return self.protocol.scoring.all_metrics

    @property
    def has_clip_scores(self) -> bool:
        """Whether a metric of the protocol may use a CLIP model."""
        return any(map(may_use_clip, self.metrics))

    def require_clip_scores(self) -> None:
        """Refuse a CLIP model that nothing would use, if no edit is made.

        Raises:
            UserError: the protocol has no CLIP scores.
        """
        if not self.has_clip_scores:
            raise UserError(
                f"protocol {self.protocol.name} has no CLIP scores and no edit is made: leave the CLIP model out"
            )

    def require_views_of(self, info: MethodInfo) -> None:
        """Refuse a method that does not say that it renders other views, if the protocol scores them.

        Raises:
            UserError: it lacks the capability.
        """
        if self.views_clip is not None and NOVEL_VIEW not in info.capabilities:
            raise UserError(
                f"method {info.name} does not render other views (it lacks the capability {NOVEL_VIEW}), and protocol "
                f"{self.protocol.name} scores them: choose a method that has it "
                f"(emo-bench methods show NAME says what NAME can do)"
            )

    def require_readable_captions(self, style: EditStyle, clip: str) -> None:
        """Refuse the captions of an edit that the CLIP model of its scores cannot read to their end.

        Args:
            style: the edit.
            clip: the CLIP model; one that is not on this machine gives no scores, so that any caption is good.

        Raises:
            UserError: a caption is too long; the message has the number of its tokens and the limit.
        """
        used = {name for metric in self.metrics for name in metric_class(metric).info.captions}
        if not used or missing_clip(clip) is not None:
            return
        captions = {"source": style.source_caption, "target": style.target_caption}
        for name in sorted(used):
            require_readable(find_clip(clip), captions[name])


def apply_protocol(
    protocol: protocols.Protocol, capture: Capture, split: str | None = None, driver: str | None = None
) -> AppliedProtocol:
    """Divide the frames of a capture, and check that the protocol's metrics are known.

    Args:
        protocol: the protocol.
        capture: the capture.
        split: name of one of the protocol's splits; None takes its default.
        driver: the name of the actor who drives, for cross-reenactment.

    Raises:
        UserError: there is no such metric, split or actor, the video is too short, or a driver or the truth clip is
            missing.
    """
    for name in protocol.scoring.all_metrics:
        try:
            metric_class(name)
        except MethodError:
            raise
        except UserError as error:
            raise UserError(f"protocol {protocol.name}: {error}") from error
    driving = driver_of(protocol, driver)
    divided = split_of(protocol, capture, driving, split)
    truth, clip = truth_of(protocol, capture, driving, divided.test), views_clip(protocol, capture, divided.test)
    return AppliedProtocol(protocol, capture, divided, driving, truth, clip)
