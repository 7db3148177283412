"""Measure CPU seconds of a prior's training step by width, batch, precision: ``python benchmarks/pretraining.py``.

It uses one thread and measures CPU time, so that other work on the machine does not affect the results.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from factory.prior.adversarial import AdversarialConfig, discriminator_step, generator_step, r1_step
from factory.prior.state import PretrainConfig, new_state

STEPS = 2
# channel_base, channel_max, batch, bfloat16
CASES = (
    (4096, 256, 16, True), (4096, 128, 16, True), (6144, 192, 16, True), (4096, 256, 32, True), (4096, 256, 16, False),
)  # fmt: skip


def cpu_seconds(step: Callable[[], object], steps: int = STEPS) -> float:
    """Return the CPU seconds of one step, after one warm-up step."""
    step()
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps


def main() -> None:
    """Print one line per case."""
    torch.set_num_threads(1)
    for base, widest, batch, autocast in CASES:
        game = AdversarialConfig(autocast=autocast)
        state = new_state(PretrainConfig(channel_base=base, channel_max=widest, batch=batch, adversarial=game), "cpu")
        real, z = torch.rand(batch, 3, 128, 128) * 2 - 1, torch.randn(batch, state.config.z_dim)
        g, d, judge = state.generator, state.discriminator, state.judge()
        critic = cpu_seconds(lambda: discriminator_step(g, d, state.optimizer_d, real, z, game, judge))  # noqa: B023
        maker = cpu_seconds(lambda: generator_step(g, d, state.optimizer_g, z, game, judge))  # noqa: B023
        penalty = cpu_seconds(lambda: r1_step(d, state.optimizer_d, real, game), 1)  # noqa: B023
        speed = batch / (critic + maker + penalty / game.r1_interval)
        size = sum(p.numel() for p in g.parameters()) / 1e6
        print(
            f"base {base}, max {widest}, batch {batch}, {'bf16' if autocast else 'fp32'}: generator {size:.2f} M, "
            f"discriminator step {critic:.2f} s, generator step {maker:.2f} s, R1 {penalty:.2f} s, "
            f"{speed:.1f} images/s a core"
        )


if __name__ == "__main__":
    main()
