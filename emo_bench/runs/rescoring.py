"""Score the stored frames of a finished run again, with the metrics, frames, captions and batches of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import protocols
from emo_bench.errors import UserError
from emo_bench.methods.interface import SMOKE_PROFILE
from emo_bench.metrics import Captions, Settings
from emo_bench.plug_ins.loading import file_and_class
from emo_bench.progress import track_progress
from emo_bench.runs import stages
from emo_bench.runs.pairs import driver_in, load_same, split_of, subject_of
from emo_bench.runs.run_scorer import RunScorer, frame_batches
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.runs.store import RENDER
from emo_bench.runs.truth import truth_of, views_clip
from emo_bench.video.lossless import FrameDigest
from protocols import Protocol
from protocols.splitting import format_frames, parse_frames

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Rescored:
    """A run scored again.

    Attributes:
        table: as ``Scorer.table`` gives it.
        frames_sha256: digest of the frames that were scored.
        test: the held-out frames that follow from protocol and actor, as run.json writes them.
        smoke: whether, by its protocol and profile, the run is only for trying things out.
    """

    table: pandas.DataFrame
    frames_sha256: str
    test: str
    smoke: bool


def rescore(folder: Path, manifest: Mapping[str, Any], device: str, *, trust: bool = False) -> Rescored:
    """Score the frames of ``render.mkv`` again.

    Args:
        folder, manifest: a run whose stages are finished.
        device: ``cpu`` or ``cuda:0``, for the metrics.
        trust: execute Python files that the run's protocol names as metrics.

    Raises:
        UserError: something that the scoring needs is not here, or is not as it was.
    """
    identity = manifest["identity"]
    capture, driver, protocol = load_same(identity["actor"]), driver_in(manifest), protocol_of(manifest)
    _require_trust(protocol, trust)
    recorded = driver or capture
    style = identity.get("style")
    captions = None if style is None else Captions(style["source_caption"], style["target_caption"])
    clip = (manifest["stages"]["score"].get("inputs") or {}).get("clip") or ANY_CLIP
    size_px, test = int(identity["resolution_px"]), parse_frames(manifest["split"]["test"])
    stages.seed_all(int(identity["seed"]))
    subject = subject_of(capture, parse_frames(manifest["split"]["train"]), size_px)
    settings = Settings(device=device, clip=clip, captions=captions, subject=subject)
    truth, clip = truth_of(protocol, capture, driver, test), views_clip(protocol, capture, test)
    scorer = RunScorer(protocol, settings, size_px, recorded, truth)
    digest = FrameDigest()
    with track_progress(len(test), f"{folder}: score again") as advance:
        for batch in frame_batches(folder, clip or recorded, test, size_px, truth):
            if len(batch.rendered) != len(batch.numbers):
                raise UserError(f"{folder / RENDER} has fewer frames than the split has held-out ones")
            for frame in batch.rendered:
                digest.add(frame)
            scorer.add(batch)
            advance(len(batch.numbers))
    split = split_of(protocol, capture, driver, identity["split"]["name"])
    smoke = identity["profile"] == SMOKE_PROFILE or protocol.mini
    return Rescored(scorer.table(), digest.hexdigest(), format_frames(split.test), smoke)


def protocol_of(manifest: Mapping[str, Any]) -> Protocol:
    """Return the protocol of a run.

    Raises:
        UserError: it is not here, or no longer the one that the run was made with.
    """
    named = manifest["identity"]["protocol"]
    protocol = protocols.load_protocol(manifest.get("protocol_place") or named["name"])
    if protocol.hash() != named["hash"]:
        raise UserError(f"protocol {named['name']} on this machine is not the one that the run was made with")
    return protocol


def _require_trust(protocol: Protocol, trust: bool) -> None:
    files = [name for name in protocol.scoring.metrics if file_and_class(name) is not None]
    if files and not trust:
        raise UserError(f"scoring again executes {files[0]}; look at that file, and give --trust if you trust it")
