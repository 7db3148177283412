"""How long a convolution takes in float32 and in bfloat16 on the processor: ``python benchmarks/bfloat16.py``."""

from __future__ import annotations

import time

import torch

from emo_bench.system.devices import has_bfloat16

ROUNDS, REPEATS = 3, 3


def seconds_of_a_pass(bfloat16: bool) -> float:
    """Return the best mean of a forward and a backward pass over 128 channels at 64x64 px, two pictures."""
    convolution = torch.nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    pictures = torch.randn(2, 128, 64, 64).to(memory_format=torch.channels_last).requires_grad_()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(REPEATS):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                made = convolution(pictures)
            made.float().sum().backward()
        taken.append((time.perf_counter() - started) / REPEATS)
    return min(taken)


def main() -> None:
    """Print both times and whether the processor has instructions for bfloat16."""
    torch.set_num_threads(1)
    print(f"float32 {seconds_of_a_pass(False):.3f} s, bfloat16 {seconds_of_a_pass(True):.3f} s")
    print(f"instructions for bfloat16: {'yes' if has_bfloat16('cpu') else 'no'}")


if __name__ == "__main__":
    main()
