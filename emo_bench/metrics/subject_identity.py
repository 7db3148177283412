"""Identity of an avatar: the similarity of its frames to recorded frames of its subject, whoever drives it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from emo_bench.metrics.batch import Batch, FramesU8, Settings, Subject
from emo_bench.metrics.detectors import FaceFinder
from emo_bench.metrics.identity import ARCFACE, DLIB, Embedder, Embedding, IdentitySimilarity, distance
from emo_bench.metrics.metric import MetricInfo, Scores

NO_SUBJECT = "needs recorded frames of the avatar's person, which a run has: score the folder of a run"


class SubjectIdentity(IdentitySimilarity):
    """Mean cosine of the face embeddings of a frame and of recorded frames of the subject, -1 to 1.

    This is the CSIM of one-shot talking heads (Zakharov et al. 2019) with several source frames instead of one. The
    embedder is that of `identity_similarity`. A frame is NaN if no face is found in it; all are if none is found in the
    frames of the subject.
    """

    info = MetricInfo(
        "identity_to_subject",
        "1",
        "Cosine of face embeddings with the subject's recorded frames",
        "higher",
        "1",
        needs_reference=False,
        needs="recorded frames of the subject",
        undefined="no face was found in the frame, or in no recorded frame of the subject",
    )

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return what the embedder or the detector lacks on this machine, or that no frame of the subject is known."""
        return super().missing_for(settings) or (NO_SUBJECT if settings.subject is None else None)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.detector, subject=settings.subject)

    def __init__(
        self,
        device: str = "cpu",
        detector: str | FaceFinder = "auto",
        embedder: Embedder | None = None,
        subject: Subject | None = None,
    ) -> None:
        super().__init__(device, detector, embedder)
        self._subject_frames: FramesU8 | None = None if subject is None else subject.read()
        self._known: list[Embedding] | None = None

    def conditions(self) -> Mapping[str, str]:
        count = 0 if self._subject_frames is None else len(self._subject_frames)
        return {**super().conditions(), "subject": f"mean over {count} recorded frames"}

    def score_batch(self, batch: Batch) -> Scores:
        if self._known is None:
            assert self._subject_frames is not None
            found = self._embeddings(Batch(self._subject_frames, None), "frames")
            self._known = [embedding for embedding in found if embedding is not None]
        return np.array([self._similarity(mine) for mine in self._embeddings(batch, "frames")], np.float64)

    def _similarity(self, mine: Embedding | None) -> float:
        if mine is None or not self._known:
            return float("nan")
        return float(np.mean([self.compared(mine, theirs) for theirs in self._known]))


class SubjectCSIM(SubjectIdentity):
    """CSIM with the subject's recorded frames: as `SubjectIdentity`, by ArcFace and never by another network."""

    info = replace(SubjectIdentity.info, id="csim_to_subject", title="CSIM with the subject's recorded frames")
    network = ARCFACE


class SubjectDistance(SubjectIdentity):
    """Mean Euclidean distance of dlib's embeddings of a frame and of recorded frames of the subject, 0 and up."""

    info = replace(
        SubjectIdentity.info,
        id="identity_distance_to_subject",
        title="Distance of face embeddings to the subject's recorded frames",
        direction="lower",
    )
    network = DLIB

    def compared(self, mine: Embedding, theirs: Embedding) -> float:
        return distance(mine, theirs)
