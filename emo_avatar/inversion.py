"""Few-shot pivotal tuning inversion (PTI; Roich et al. 2022) of several images of one person.

First one w per image is optimised, all in one batch. Then the generator's weights are tuned so that these pivots give
the images. There are three differences from the public code: the noise planes that the first step optimised stay in the
generator for the second, the number of w layers is the generator's own, and the stated learning rate is used.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from emo_avatar.stylegan2 import Generator
from emo_bench.errors import UserError
from emo_bench.methods.training.finite import require_finite
from emo_bench.system.devices import mixed_precision

REMEDY = "start again with a lower learning rate (--set projection_lr=... or --set tuning_lr=...)"
Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance of two batches [B, 3, H, W] in [-1, 1], as ``[B]``."""


class OnStep(Protocol):
    """A function that is called after each step with values to show."""

    def __call__(self, **numbers: float) -> None: ...


@dataclass(frozen=True)
class InversionConfig:
    """Settings of both steps; the defaults are those that the public code in fact uses.

    Projection: ``w_steps`` of Adam at ``w_lr`` under ramps, with noise on w that starts at ``w_noise`` of
    the spread of w and ends after ``w_noise_ramp`` of the steps; distances are taken at
    ``perceptual_px`` at most; ``w_mse_weight`` adds a plain pixel term. Tuning: ``tune_steps`` of Adam at
    ``tune_lr`` on MSE and perceptual distance. ``locality_weight`` > 0 keeps the generator unchanged around the pivots
    (PTI section 3.3, off by default); ``autocast`` renders in bfloat16.
    """

    w_steps: int = 450
    w_lr: float = 0.01
    w_avg_samples: int = 600
    w_noise: float = 0.05
    w_noise_ramp: float = 0.75
    lr_rampdown: float = 0.25
    lr_rampup: float = 0.05
    noise_regularization: float = 1e5
    perceptual_px: int = 256
    w_mse_weight: float = 0.0
    tune_steps: int = 350
    tune_lr: float = 3e-4
    mse_weight: float = 1.0
    perceptual_weight: float = 1.0
    locality_weight: float = 0.0
    locality_radius: float = 30.0
    locality_psi: float = 0.5
    autocast: bool = False


@dataclass(frozen=True)
class InversionResult:
    """The tuned ``generator``, ``pivots`` [K, num_ws, w_dim], ``reconstructions`` [K, 3, R, R] float32."""

    generator: Generator
    pivots: Tensor
    reconstructions: Tensor


def extreme_frames(yaw_pitch_deg: ArrayLike, candidates: Sequence[int], count: int = 4) -> list[int]:
    """Choose ``count`` different frames among ``candidates`` with the most extreme poses.

    The first four have the smallest and largest yaw and the smallest and largest pitch, as in the paper. Further ones
    are extreme in directions between those, in units of the standard deviations of yaw and pitch. ``yaw_pitch_deg`` is
    [T, 2]; frames without a pose (NaN) are skipped. If a frame is extreme in two directions, it counts for the first,
    and the next most extreme frame is taken for the second. Raises UserError if fewer than ``count`` candidates have a
    pose.
    """
    poses = np.asarray(yaw_pitch_deg, dtype=np.float64)
    left = _with_pose(poses, candidates, count)
    spread = np.maximum(poses[left].std(axis=0), 1e-6)
    chosen: list[int] = []
    for direction in _directions(count):
        reach = poses / spread @ direction
        chosen.append(max((i for i in left if i not in chosen), key=lambda i: float(reach[i])))
    return chosen


def random_frames(yaw_pitch_deg: ArrayLike, candidates: Sequence[int], count: int, seed: int) -> list[int]:
    """Choose different frames at random among those of ``candidates`` that have a pose; ascending, drawn by the seed.

    ``yaw_pitch_deg`` is [T, 2]. Raises UserError if fewer than ``count`` candidates have a pose.
    """
    left = _with_pose(np.asarray(yaw_pitch_deg, dtype=np.float64), candidates, count)
    drawn = np.random.default_rng((seed, count)).choice(left, size=count, replace=False)
    return sorted(int(i) for i in drawn)


def _with_pose(poses: np.ndarray, candidates: Sequence[int], needed: int) -> list[int]:
    left = [int(i) for i in candidates if np.isfinite(poses[i]).all()]
    if len(set(left)) < needed:
        raise UserError(f"only {len(set(left))} training frames have a head pose: inversion needs {needed}.")
    return left


def _directions(count: int) -> list[np.ndarray]:
    """Return unit vectors of (yaw, pitch): down and up each axis, then halfway between; opposite ones alternate."""
    found = [np.array(v, dtype=np.float64) for v in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    while len(found) < count:
        level = len(found)
        bits = level.bit_length() - 1
        # Counting with reversed bits spreads any number of vectors over the circle.
        turns = [int(f"{k:0{bits}b}"[::-1], 2) / level + 0.5 / level for k in range(level)]
        found += [np.array([math.cos(2 * math.pi * t), math.sin(2 * math.pi * t)]) for t in turns]
    return found[:count]


def invert(
    generator: Generator,
    targets: Tensor,
    config: InversionConfig,
    perceptual: Perceptual,
    seed: int,
    state: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
    checkpoint_every: int | None = None,
    on_checkpoint: Callable[[dict[str, Any]], None] | None = None,
) -> InversionResult:
    """Invert ``targets`` [K, 3, R, R] in [-1, 1] of one person; ``generator`` itself is not changed.

    ``on_checkpoint`` gets, every ``checkpoint_every`` steps and at the end, a dict of tensors and numbers
    that ``torch.load(weights_only=True)`` can read; given as ``state``, it makes the work continue from there, with
    bit-identical results on a CPU. Raises UserError if ``state`` belongs to other settings or targets, if the targets
    do not have the generator's size, or if a loss is not finite.
    """
    if targets.shape[2:] != (generator.config.img_resolution,) * 2:
        raise UserError(
            f"targets are {tuple(targets.shape[2:])} px, the generator {generator.config.img_resolution} px."
        )
    run = _Run(generator, targets, config, perceptual, seed)
    if state is not None:
        run.restore(state)
    while not run.finished():
        numbers = run.step()
        if on_step is not None:
            on_step(**numbers)
        if checkpoint_every and on_checkpoint and run.done % checkpoint_every == 0 and not run.finished():
            on_checkpoint(run.snapshot())
    if on_checkpoint is not None and (state is None or state["done"] != run.done):
        on_checkpoint(run.snapshot())
    run.generator.requires_grad_(True)
    with torch.no_grad():
        pivots = run.pivots().detach().clone()
        return InversionResult(run.generator, pivots, run.generator.synthesis(pivots))


class _Run:
    """The state of an inversion: ``done`` is the number of finished steps of projection and then of tuning."""

    def __init__(
        self, generator: Generator, targets: Tensor, config: InversionConfig, perceptual: Perceptual, seed: int
    ) -> None:
        self.config, self.perceptual = config, perceptual
        self.targets = targets.detach().float()
        self.original = generator
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self.noises = list(self.generator.synthesis.noise_buffers().values())
        self.rng = torch.Generator().manual_seed(seed)
        z = torch.randn(config.w_avg_samples, generator.config.z_dim, generator=self.rng)
        with torch.no_grad():
            w = generator.mapping.to_w(z.to(targets.device))
        mean = w.mean(dim=0)
        self.w_std = float((w - mean).square().sum(dim=1).mean().sqrt())
        self.w = mean.repeat(len(targets), 1).requires_grad_(True)
        self.done = 0
        self.optimizer: torch.optim.Adam
        self._start_stage()

    def finished(self) -> bool:
        return self.done >= self.config.w_steps + self.config.tune_steps

    def projecting(self) -> bool:
        return self.done < self.config.w_steps

    def pivots(self) -> Tensor:
        return self.w[:, None].expand(-1, self.generator.config.num_ws, -1)

    def step(self) -> dict[str, float]:
        if self.done == self.config.w_steps:
            self._start_stage()
        loss, distance = self._project() if self.projecting() else self._tune()
        require_finite({"loss": loss}, "emo-avatar: the inversion", self.done, REMEDY)
        self.done += 1
        return {"loss": loss, "perceptual": distance}

    def _start_stage(self) -> None:
        """Choose the trainable parameters of this stage, with a new optimiser."""
        projecting = self.projecting()
        self.w.requires_grad_(projecting)
        for noise in self.noises:
            noise.requires_grad_(projecting)
        self.generator.synthesis.requires_grad_(not projecting)
        if projecting:
            self.optimizer = torch.optim.Adam([self.w, *self.noises], lr=self.config.w_lr)
        else:
            self.optimizer = torch.optim.Adam(self.generator.synthesis.parameters(), lr=self.config.tune_lr)

    def _render(self, ws: Tensor) -> Tensor:
        with mixed_precision(ws.device, self.config.autocast):
            return self.generator.synthesis(ws)

    def _project(self) -> tuple[float, float]:
        config = self.config
        t = self.done / config.w_steps
        self.optimizer.param_groups[0]["lr"] = config.w_lr * lr_ramp(t, config.lr_rampdown, config.lr_rampup)
        spread = self.w_std * config.w_noise * max(0.0, 1.0 - t / config.w_noise_ramp) ** 2
        jitter = torch.randn(self.w.shape, generator=self.rng).to(self.w.device) * spread
        ws = (self.w + jitter)[:, None].expand(-1, self.generator.config.num_ws, -1)
        images = self._render(ws)
        small, wanted = _at_most(images, config.perceptual_px), _at_most(self.targets, config.perceptual_px)
        distance = self.perceptual(small, wanted).mean()
        loss = distance
        if config.w_mse_weight > 0:
            loss = loss + config.w_mse_weight * F.mse_loss(images, self.targets)
        if self.noises:
            loss = loss + config.noise_regularization * sum(noise_correlation(n) for n in self.noises)
        self._descend(loss)
        with torch.no_grad():
            for noise in self.noises:
                noise.sub_(noise.mean()).mul_(noise.square().mean().rsqrt())
        return float(loss.detach()), float(distance.detach())

    def _tune(self) -> tuple[float, float]:
        config = self.config
        images = self._render(self.pivots())
        distance = self.perceptual(images, self.targets).mean()
        loss = config.mse_weight * F.mse_loss(images, self.targets) + config.perceptual_weight * distance
        if config.locality_weight > 0:
            loss = loss + config.locality_weight * self._locality()
        self._descend(loss)
        return float(loss.detach()), float(distance.detach())

    def _locality(self) -> Tensor:
        """Return the change of the generator at a fixed distance from a pivot, towards a random w."""
        pivot = self.pivots()[self.done % len(self.targets)][None]
        z = torch.randn(1, self.original.config.z_dim, generator=self.rng).to(pivot.device)
        with torch.no_grad():
            direction = self.original.mapping(z, truncation_psi=self.config.locality_psi) - pivot
            ws = pivot + self.config.locality_radius * F.normalize(direction, dim=2)
            before = self.original.synthesis(ws, noise_mode="none")
        after = self.generator.synthesis(ws, noise_mode="none")
        return F.mse_loss(after, before) + self.perceptual(after, before).mean()

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _identity(self) -> dict[str, Any]:
        """Return the facts that a resumed run must share with the run that wrote the state."""
        return {"config": asdict(self.config), "targets": float(self.targets.cpu().double().square().sum())}

    def snapshot(self) -> dict[str, Any]:
        live = {
            **self._identity(),
            "done": self.done,
            "w": self.w.detach(),
            "rng": self.rng.get_state(),
            "noise": [noise.detach() for noise in self.noises],
            "optimizer": self.optimizer.state_dict(),
            "synthesis": None if self.projecting() else self.generator.synthesis.state_dict(),
        }
        return copy.deepcopy(live)

    def restore(self, state: Mapping[str, Any]) -> None:
        if any(state.get(name) != value for name, value in self._identity().items()):
            raise UserError(
                "the unfinished inversion has other settings or images: delete its checkpoint to start again."
            )
        self.done = int(state["done"])
        with torch.no_grad():
            self.w.copy_(state["w"])
            for noise, stored in zip(self.noises, state["noise"], strict=True):
                noise.copy_(stored)
        if state["synthesis"] is not None:
            self.generator.synthesis.load_state_dict(state["synthesis"])
        self.rng.set_state(state["rng"].cpu())
        # Between the two stages the stored optimiser is still the projection's; it is not needed.
        if self.done != self.config.w_steps:
            self._start_stage()
            self.optimizer.load_state_dict(state["optimizer"])


def lr_ramp(t: float, rampdown: float = 0.25, rampup: float = 0.05) -> float:
    """Return the learning-rate factor at ``t`` in [0, 1]: a linear start and a cosine end."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - t) / rampdown))
    return down * min(1.0, t / rampup)


def noise_correlation(noise: Tensor) -> Tensor:
    """Measure how far a noise plane [r, r] is from white: squared correlation with its shifts, over a pyramid."""
    plane = noise[None, None]
    total = torch.zeros((), device=noise.device)
    while True:
        for axis in (2, 3):
            total = total + (plane * plane.roll(1, dims=axis)).mean().square()
        if plane.shape[2] <= 8:
            return total
        plane = F.avg_pool2d(plane, 2)


def _at_most(images: Tensor, size: int) -> Tensor:
    if images.shape[2] <= size:
        return images
    return F.interpolate(images, size=(size, size), mode="area")
