"""Measure Rerender-A-Video on 75 frames of 128 px: ``python benchmarks/rerender.py [frames]``.

The networks have the sizes of the bundled ones and are untrained, since only the time counts here. It prints the
seconds of the key frames and of the frames between for the profile ``cpu``, and the seconds of computing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from baselines.diffusion.guided_network import Guidance
from baselines.diffusion.networks import Networks
from baselines.diffusion.structure import SOURCE
from baselines.rerender.between import Side, frames_between
from baselines.rerender.config import RerenderConfig
from baselines.rerender.flow import FlowFinder, dis_flow
from baselines.rerender.key_frames import key_positions, painted_key_frames
from factory.diffusion.networks import SIZE_PX, new_scheduler, new_text_encoder, new_unet, new_vae
from factory.diffusion.tokenizer import make_tokenizer

FRAMES = 75


def main() -> None:
    """Print the seconds of both parts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES
    tokenizer, config, finder = make_tokenizer(), RerenderConfig(), FlowFinder("DIS", dis_flow)
    networks = Networks(new_unet(), new_vae(), new_text_encoder(tokenizer), tokenizer, new_scheduler())
    wide = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX + count, 3), dtype=np.uint8)
    clip = np.stack([wide[:, at : at + SIZE_PX] for at in range(count)])
    keys, guidance = key_positions(count, config.interval), Guidance(SOURCE, "bronze", "", 4.0, 1.3, 1.0)
    start, computed = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        edited = painted_key_frames(networks, clip[keys], guidance, finder, config, 1.0, 0, Path(name))
    middle = time.perf_counter()
    sides = [Side(clip[at], picture) for at, picture in zip(keys, edited, strict=True)]
    made = len(keys)
    for (first, past), (last, future) in zip(
        zip(keys, sides, strict=True), zip(keys[1:], sides[1:], strict=True), strict=False
    ):
        made += len(list(frames_between(clip[first + 1 : last], past, future, finder, config.patch_rounds, 0)))
    assert made == count
    print(f"key frames: {middle - start:.1f} s for {len(keys)}")
    print(f"frames between: {time.perf_counter() - middle:.1f} s for {count - len(keys)}")
    print(f"computing: {time.process_time() - computed:.1f} s")


if __name__ == "__main__":
    main()
