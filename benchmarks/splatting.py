"""Measure Gaussian splatting forwards and backwards: ``python benchmarks/splatting.py [repeats]``.

The scene is a hollow ellipsoid as large as a head, whose Gaussians overlap their neighbours. The rows with other
numbers of Gaussians have Gaussians of the same size, so all numbers show how the time grows with one size alone. It
prints the least time of all repeats, and that of the processor, which other work on the machine changes less.
"""

from __future__ import annotations

import sys
import time

import torch

from baselines.camera import Camera
from baselines.splatting.gaussians import Gaussians, View
from baselines.splatting.rasterise import splat

COUNTS, SIZES_PX, COUNT, SIZE_PX, REPEATS = (4096, 16384, 65536), (64, 128, 256, 512), 16384, 128, 10
# At this focal length the ellipsoid fills two fifths of the picture.
FOCAL_SHARE, AXES_M, DISTANCE_M, SCALE_M = 3.6, (0.10, 0.12, 0.10), 1.0, (0.0005, 0.002)


def head_of(count: int) -> Gaussians:
    """Return Gaussians on an ellipsoid, half of them on its far side, with gradients."""
    draw = torch.Generator().manual_seed(0)
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1) * torch.tensor(AXES_M)
    low, high = SCALE_M
    return Gaussians(
        (places + torch.tensor([0.0, 0.0, DISTANCE_M])).requires_grad_(True),
        (low + (high - low) * torch.rand(count, 3, generator=draw)).requires_grad_(True),
        torch.randn(count, 4, generator=draw).requires_grad_(True),
        (0.05 + 0.9 * torch.rand(count, generator=draw)).requires_grad_(True),
        torch.rand(count, 3, generator=draw).requires_grad_(True),
    )


def milliseconds(count: int, size_px: int, repeats: int) -> tuple[float, float]:
    """Return the least time on the clock and on the processor, in milliseconds."""
    gaussians, middle = head_of(count), size_px / 2
    view = View(Camera(FOCAL_SHARE * size_px, (middle, middle)), size_px, size_px, antialiased=True)
    wanted = torch.randn(size_px, size_px, 3, generator=torch.Generator().manual_seed(1))
    clock, processor = [], []
    for _ in range(repeats + 1):
        started, worked = time.perf_counter(), time.process_time()
        drawn = splat(gaussians, view)
        torch.autograd.grad((drawn.over(torch.ones(3)) * wanted).mean(), gaussians.tensors())
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    # The first one compiles the kernels.
    return 1e3 * min(clock[1:]), 1e3 * min(processor[1:])


def main() -> None:
    """Print a table: pictures of growing size, then growing numbers of Gaussians."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    print("Gaussians  size      clock  processor   for one picture forwards and backwards")
    for count, size in [*((COUNT, size) for size in SIZES_PX), *((count, SIZE_PX) for count in COUNTS)]:
        clock, processor = milliseconds(count, size, repeats)
        print(f"{count:9,d}  {size:4d} px  {clock:4.1f} ms  {processor:4.1f} ms")


if __name__ == "__main__":
    main()
