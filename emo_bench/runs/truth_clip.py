"""Truth clips: what a studio actor looks like in a pose that was never filmed, rendered by the studio.

A clip is a video in the encoding of the bundled actors. Its comment says in JSON what it shows: the SHA-256 of the
captures that it depends on, and the frames that it holds, in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors.capture import read_frames
from emo_bench.actors.library import BUNDLED
from emo_bench.errors import UserError
from emo_bench.video.container import open_video
from protocols.frame_lists import parse_frames

PREFIX = "truth-"
LARGEST_COMMENT = 20_000


@dataclass(frozen=True)
class TruthClip:
    """A video with the true frames of a driven or otherwise seen actor.

    Attributes:
        video: the file.
        fps: constant frame rate.
        frames_shown: the frame numbers that it holds, in the order of the video.
        about: what the pictures depend on, as the studio wrote it.
    """

    video: Path
    fps: float
    frames_shown: tuple[int, ...]
    about: Mapping[str, Any]

    def frames(self, indices: Iterable[int], size: int | None = None) -> Iterator[np.ndarray]:
        """Stream the true frames ``uint8 [S, S, 3]`` RGB of these frame numbers, resized as a capture's frames are.

        Raises:
            KeyError: the clip does not hold one of the frames.
        """
        places = {frame: place for place, frame in enumerate(self.frames_shown)}
        return read_frames(self.video, self.fps, [places[int(i)] for i in indices], size)


def truth_file(name: str) -> Path:
    """Return the place of a bundled truth clip, such as ``1-by-2``."""
    return BUNDLED / f"{PREFIX}{name}.mp4"


def open_truth(path: Path) -> TruthClip:
    """Open a truth clip.

    Raises:
        UserError: the file is missing, or does not say what it shows.
    """
    import av

    try:
        with open_video(path) as container:
            text = container.metadata.get("comment", "")
            rate = container.streams.video[0].average_rate
        about = json.loads(text) if len(text) <= LARGEST_COMMENT else {}
        return TruthClip(path, float(rate or 0), parse_frames(about["frames"]), about)
    except (OSError, av.FFmpegError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or no truth clip ({error}): install emo-bench again") from error
