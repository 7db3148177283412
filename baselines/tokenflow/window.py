"""How many frames of a clip are edited together: as many as the memory can hold, for key frames attend to each other.

All key frames go through the network at once, with the source and the branches of the edit, and every layer keeps their
tokens for the other frames. So the memory grows with the length of the clip.
"""

from __future__ import annotations

from pathlib import Path

from emo_bench.untrusted.plain_json import read_json

# Numbers that the U-Net holds at once for a picture, as a multiple of its latent pixels and the channels of its first
# level: 20 for the bundled network, 26 for those of Stable Diffusion 1.5 and 2.1 (torch's allocations, counted).
ACTIVATIONS = 26
# The same for the tokens that the layers keep: 9 for Stable Diffusion.
KEPT_TOKENS = 10
# Source, negative and target.
BRANCHES = 3
# The share of the memory that key frames may take; the rest is for weights, the autoencoder and other programs.
SHARE = 0.5
CONFIG_BYTES = 1_000_000
# If the configuration of the pipeline is unusual: the sizes of Stable Diffusion.
USUAL_CHANNELS, USUAL_FACTOR = 320, 8


def frames_that_fit(pipeline: Path, size_px: int, batch: int, *, half: bool, memory_bytes: int) -> int:
    """Return how many frames TokenFlow can edit together, a multiple of ``batch`` and at least one batch.

    Args:
        pipeline: the pipeline's folder.
        size_px: side of the pictures that the network edits.
        batch: frames for each key frame.
        half: whether the network computes in 16-bit numbers.
        memory_bytes: the memory of the device.
    """
    key_frames = int(SHARE * memory_bytes / key_frame_bytes(pipeline, size_px, half=half))
    return batch * max(key_frames, 1)


def key_frame_bytes(pipeline: Path, size_px: int, *, half: bool) -> float:
    """Return an estimate of the memory of a key frame in a call of the network."""
    channels, factor = _sizes(pipeline)
    numbers = BRANCHES * (ACTIVATIONS + KEPT_TOKENS) * channels * (size_px / factor) ** 2
    return numbers * (2 if half else 4)


def _sizes(pipeline: Path) -> tuple[int, int]:
    """Return the channels of the U-Net's first level, and how many pixels a latent one has on each side."""
    try:
        unet, vae = (read_json(pipeline / part / "config.json", CONFIG_BYTES) for part in ("unet", "vae"))
        return int(unet["block_out_channels"][0]), 2 ** (len(vae["block_out_channels"]) - 1)
    except (OSError, KeyError, IndexError, TypeError, ValueError):
        # Loading the networks says what is wrong with the folder.
        return USUAL_CHANNELS, USUAL_FACTOR
