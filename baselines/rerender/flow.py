"""Optical flow between two frames, the pixels that both show, and warping: RAFT of torchvision, else OpenCV's DIS.

A flow here always goes backwards: pixel ``p`` of the frame ``now`` is at ``p + flow[p]`` in the frame ``then``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.system import opencv as cv2

RAFT_ASSET = "raft-large"
# DIS looks at patches of 8 px in a picture of half the side, too coarse for frames of 128 px: they are enlarged.
DIS_LEAST_PX = 256
# RAFT takes sides of at least 128 px that 8 divides.
RAFT_LEAST_PX, RAFT_MULTIPLE_PX = 128, 8
# OpenCV moves at most four channels in one call.
CHANNELS_AT_ONCE = 4

Frame = NDArray[np.uint8]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class FlowFinder:
    """A way to find flow.

    Attributes:
        name: the name in run.json.
        find: gets two frames ``uint8 [H, W, 3]``, now and then, and gives the flow in pixels, float32 ``[H, W, 2]``
            (right, down).
    """

    name: str
    find: Callable[[Frame, Frame], Field]


@dataclass(frozen=True, eq=False)
class Motion:
    """How the frame ``now`` moves from the frame ``then``.

    Attributes:
        flow: float32 ``[H, W, 2]``, in pixels of this grid (right, down).
        visible: share of each pixel that the frame ``then`` shows too, float32 ``[H, W]`` from 0 to 1.
    """

    flow: Field
    visible: Field

    def warped(self, then: NDArray[Any]) -> Field:
        """Bring a picture of the frame ``then`` to the frame ``now``: float32 of the shape ``[H, W, C]``."""
        rows, columns = np.indices(self.visible.shape, dtype=np.float32)
        return sampled(then, columns + self.flow[..., 0], rows + self.flow[..., 1])

    def on_grid(self, side: int) -> Motion:
        """Return the motion on a coarser square grid; its flow counts cells of that grid."""
        if side == len(self.flow):
            return self
        flow = cv2.resize(self.flow, (side, side), interpolation=cv2.INTER_AREA) * np.float32(side / len(self.flow))
        visible = cv2.resize(self.visible, (side, side), interpolation=cv2.INTER_AREA)
        return Motion(flow, np.clip(visible, 0, 1))


def open_flow(device: str) -> FlowFinder:
    """Return RAFT if its weights are on this machine, else OpenCV's DIS."""
    weights = assets.locate(RAFT_ASSET)
    return FlowFinder("DIS", dis_flow) if weights is None else _raft(weights, device)


def find_motion(finder: FlowFinder, now: Frame, then: Frame) -> Motion:
    """Return the motion between two frames of the same size.

    A pixel is occluded if its flow leaves the frame, or if the flow back does not return to it (Sundaram et al. 2010).
    """
    back, forth = finder.find(now, then), finder.find(then, now)
    rows, columns = np.indices(back.shape[:2], dtype=np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    inside = (x >= 0) & (x <= back.shape[1] - 1) & (y >= 0) & (y <= back.shape[0] - 1)
    returned = sampled(forth, x, y)
    lengths = (back**2 + returned**2).sum(-1)
    visible = inside & (((back + returned) ** 2).sum(-1) <= 0.01 * lengths + 0.5)
    return Motion(back, visible.astype(np.float32))


def dis_flow(now: Frame, then: Frame) -> Field:
    """Return the flow by dense inverse search (Kroeger et al. 2016)."""
    height, width = now.shape[:2]
    scale = max(1, -(-DIS_LEAST_PX // min(height, width)))
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (now, then)]
    if scale > 1:
        grey = [cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for one in grey]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / scale, dtype=np.float32)


def sampled(picture: NDArray[Any], x: Field, y: Field) -> Field:
    """Sample a picture ``[H, W, C]`` bilinearly at pixel positions ``[h, w]``; the border is repeated outside."""
    channels = np.asarray(picture, dtype=np.float32)
    parts = [
        cv2.remap(
            np.ascontiguousarray(channels[..., start : start + CHANNELS_AT_ONCE]),
            x,
            y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(*x.shape, -1)
        for start in range(0, channels.shape[-1], CHANNELS_AT_ONCE)
    ]
    return np.concatenate(parts, -1)


def _raft(weights: assets.AssetFile, device: str) -> FlowFinder:
    import torch
    from torchvision.models.optical_flow import raft_large

    from emo_bench.untrusted.torch_archive import read_torch

    network: Any = raft_large(weights=None, progress=False)
    network.load_state_dict(read_torch(weights.path, "weights of RAFT"))
    network.to(device).eval().requires_grad_(False)

    def find(now: Frame, then: Frame) -> Field:
        height, width = now.shape[:2]
        inner = [max(RAFT_LEAST_PX, -(-side // RAFT_MULTIPLE_PX) * RAFT_MULTIPLE_PX) for side in (height, width)]
        pair = [torch.from_numpy(np.ascontiguousarray(one)).permute(2, 0, 1)[None] for one in (now, then)]
        seen = [
            torch.nn.functional.interpolate(one.float().to(device) / 127.5 - 1, inner, mode="bilinear") for one in pair
        ]
        with torch.no_grad():
            flow = network(*seen)[-1]
        scale = flow.new_tensor([width / inner[1], height / inner[0]])[:, None, None]
        flow = torch.nn.functional.interpolate(flow, (height, width), mode="bilinear") * scale
        return np.ascontiguousarray(flow[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)

    return FlowFinder("RAFT", find)
