"""Measure TokenFlow on 75 frames of 128 px: ``python benchmarks/tokenflow.py [frames]``.

The networks have the sizes of the bundled ones and are untrained, since only the time counts here. It prints the
seconds of each part for the profile ``cpu``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from baselines.diffusion.networks import Networks
from baselines.tokenflow.config import TokenFlowConfig
from baselines.tokenflow.editing import Captions, edited_latents, inverted_clip
from factory.diffusion.networks import SIZE_PX, new_scheduler, new_text_encoder, new_unet, new_vae
from factory.diffusion.tokenizer import make_tokenizer

FRAMES = 75
CAPTIONS = Captions("a photo of a man", "a bronze statue of a man")


def main() -> None:
    """Print the seconds of encoding, inversion, edit and decoding."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES
    tokenizer = make_tokenizer()
    networks = Networks(new_unet(), new_vae(), new_text_encoder(tokenizer), tokenizer, new_scheduler())
    frames = np.random.default_rng(0).integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    config = TokenFlowConfig()
    with tempfile.TemporaryDirectory() as name:
        clock = [time.perf_counter()]
        clip = networks.encoded(frames, config.batch)
        clock.append(time.perf_counter())
        inverted_clip(networks, clip, CAPTIONS.source, config, Path(name))
        clock.append(time.perf_counter())
        latents = edited_latents(networks, clip, CAPTIONS, config, 0, Path(name))
        clock.append(time.perf_counter())
        assert len(list(networks.decoded(latents, config.batch))) == count
        clock.append(time.perf_counter())
    for part, seconds in zip(("encoding", "inversion", "edit", "decoding"), np.diff(clock), strict=True):
        print(f"{part}: {seconds:.1f} s for {count} frames")
    print(f"all: {clock[-1] - clock[0]:.1f} s")


if __name__ == "__main__":
    main()
