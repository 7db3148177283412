"""Warm-up by recipes: if the bank says what each picture was rendered from, the generator learns it by regression.

An encoder maps a picture's recipe (`factory.studio.recipe`) to w, and the synthesis learns to render exactly that
picture, like the chair network of Dosovitskiy et al. (2015). All causes are known, so the pictures become sharp much
earlier than with an adversary. Afterwards the mapping learns the encoder's w from the recipe's Gaussian code, so that z
~ N(0, 1) samples recipes. Finally both are trained from code to picture, which corrects the remaining error of the
mapping.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.stylegan2 import Generator
from emo_avatar.stylegan2.generator import Mapping
from emo_bench.errors import UserError
from emo_bench.perceptual import PerceptualDistance
from emo_bench.progress import track_progress
from emo_bench.system.devices import mixed_precision
from factory.prior.bank import ImageBank

BACKEND = "stlpips-alex"
WIDTH = 512
LEARNING_RATE = 2e-3
ENCODER_RATE = 5e-4
PLACING = 0.25
"""The first share of the warm-up: half resolution and L1 alone, until things are in their places.

A perceptual distance is satisfied by edges in the wrong places long before they are in the right ones.
"""
COARSE = 0.75
"""Until here at half resolution, where a step costs half as much."""
FACE = (0.38, 0.85, 0.28, 0.72)
"""Top, bottom, left and right of eyes to mouth in a head aligned as FFHQ, as shares of the picture."""
FACE_WEIGHT = 5.0
"""What a pixel there counts in L1 by one elsewhere: eyes are one pixel in a hundred, and what people look at first."""
SMALLEST_PX = 32
"""No smaller pictures: the perceptual distance's last stages need some pixels."""
COOLING = 0.35
"""The last share of the warm-up over which the rates fall to nothing."""
MAPPING_STEPS = 6000
MAPPING_BATCH = 256
MAPPING_RATE = 3e-2
FINISHING_SHARE = 0.1412
"""Images of the finish by images of the warm-up."""
FINISHING_RATE = 1e-3


class RecipeEncoder(nn.Module):
    """Maps recipes ``[B, D]`` of unit deviation to w ``[B, w_dim]``, float32."""

    def __init__(self, recipe_dim: int, w_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(recipe_dim, WIDTH),
            nn.LayerNorm(WIDTH),
            nn.GELU(),
            nn.Linear(WIDTH, WIDTH),
            nn.LayerNorm(WIDTH),
            nn.GELU(),
            nn.Linear(WIDTH, w_dim),
            nn.LayerNorm(w_dim, elementwise_affine=False),
        )

    def forward(self, recipes: Tensor) -> Tensor:
        with torch.autocast(recipes.device.type, enabled=False):
            found: Tensor = self.layers(recipes.float())
        return found


def recipe_optimizer(generator: Generator, encoder: RecipeEncoder) -> torch.optim.Adam:
    """Create Adam, with a high rate for the synthesis (its weights are equalised) and a usual one for the encoder."""
    groups = [
        {"params": list(generator.synthesis.parameters()), "lr": LEARNING_RATE, "peak": LEARNING_RATE},
        {"params": list(encoder.parameters()), "lr": ENCODER_RATE, "peak": ENCODER_RATE},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)


def cool(optimizer: torch.optim.Optimizer, progress: float, cooling: float = COOLING) -> None:
    """Set the rates for ``progress`` in [0, 1]: constant, then decreasing along a cosine for the last ``cooling``."""
    late = max(0.0, progress - (1.0 - cooling)) / cooling
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(late, 1.0))))


def is_coarse(resolution: int, progress: float) -> bool:
    """Return whether a generator of ``resolution`` px is trained at half size at warm-up ``progress`` in [0, 1]."""
    return progress < COARSE and resolution // 2 >= SMALLEST_PX


def paint(generator: Generator, encoder: RecipeEncoder, recipes: Tensor, coarse: bool = False) -> Tensor:
    """Generate the pictures of ``recipes`` [B, D], ``[B, 3, R, R]``, or half as large if ``coarse``."""
    w, config = encoder(recipes), generator.config
    until = config.img_resolution // 2 if coarse else None
    return generator.synthesis(w[:, None].expand(-1, config.num_ws, -1), until=until)


def absolute_error(images: Tensor, wanted: Tensor) -> Tensor:
    """Compute the mean absolute difference of aligned heads ``[B, 3, R, R]``, with weight `FACE_WEIGHT` in the face."""
    error = (images - wanted).abs()
    top, bottom, left, right = (round(share * error.shape[-1]) for share in FACE)
    face = error[:, :, top:bottom, left:right]
    extra = (FACE_WEIGHT - 1.0) * face.numel() / error.numel()
    return (error.mean() + extra * face.mean()) / (1.0 + extra)


def recipe_step(
    generator: Generator,
    encoder: RecipeEncoder,
    perceptual: PerceptualDistance,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    recipes: Tensor,
    progress: float,
    autocast: bool,
) -> dict[str, Tensor]:
    """Run one step from ``recipes`` [B, D] towards the pictures ``real`` [B, 3, R, R], by L1 and perceptual distance.

    ``progress`` in [0, 1] of the warm-up determines the resolution and whether only L1 is used.
    """
    losses = {}
    coarse = is_coarse(generator.config.img_resolution, progress)
    if coarse:
        real = F.avg_pool2d(real, 2)
    with mixed_precision(real.device, autocast):
        images = paint(generator, encoder, recipes, coarse)
        losses["l1"] = absolute_error(images, real)
        if progress >= PLACING:
            with torch.no_grad():
                wanted = perceptual.features(real)
            losses["perceptual"] = perceptual.between(perceptual.features(images), wanted).mean()
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    return {name: loss.detach() for name, loss in losses.items()}


def check_code(bank: ImageBank, z_dim: int) -> None:
    """Raise a UserError if the bank's codes do not fit into z."""
    if bank.codes is not None and bank.codes.shape[1] > z_dim:
        raise UserError(f"the bank's codes have {bank.codes.shape[1]} numbers: more than z_dim={z_dim}.")


def teach_mapping(
    mapping: Mapping, encoder: RecipeEncoder, bank: ImageBank, seed: int, device: str, steps: int = MAPPING_STEPS
) -> float:
    """Train the mapping to return the encoder's w from the codes (the rest of z is noise), and set its average w.

    Returns:
        The share of w's variance over held-out recipes that the mapping explains (over training ones if there are
        none).
    """
    assert bank.recipes is not None and bank.codes is not None
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        wanted = torch.cat([encoder(part.to(device)) for part in torch.from_numpy(bank.recipes).split(1024)])
    mapping.w_avg.copy_(wanted[bank.training].mean(dim=0))
    codes, training = torch.from_numpy(bank.codes), torch.from_numpy(bank.training)
    rate = MAPPING_RATE / mapping.config.mapping_lr_multiplier
    optimizer = torch.optim.Adam(mapping.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        rows = training[torch.randint(len(training), (MAPPING_BATCH,), generator=rng)]
        z = complete(codes[rows], mapping.config.z_dim, rng).to(device)
        loss = (mapping.to_w(z) - wanted[rows]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    rows = torch.from_numpy(bank.held_out if len(bank.held_out) > 1 else bank.training)
    with torch.no_grad():
        found = mapping.to_w(complete(codes[rows], mapping.config.z_dim, rng).to(device))
    return float(1.0 - (found - wanted[rows]).square().sum() / (wanted[rows] - mapping.w_avg).square().sum())


def finishing_steps(warmup_images: int, batch: int) -> int:
    """Return the number of finishing steps after a warm-up of so many images."""
    return int(FINISHING_SHARE * warmup_images) // batch


def finish(
    generator: Generator, bank: ImageBank, seed: int, device: str, autocast: bool, batch: int, steps: int
) -> None:
    """Train mapping and synthesis together on the picture of every code, with L1 only, and set the average w.

    A perceptual distance leaves rings around hair and collars, and the mapping explains only part of the encoder's w.
    Some minutes of training on the path from z to picture, which sampling uses, correct both.
    """
    assert bank.codes is not None
    rng = torch.Generator().manual_seed(seed)
    codes, training = torch.from_numpy(bank.codes), torch.from_numpy(bank.training)
    config = generator.config
    rates = {generator.synthesis: FINISHING_RATE, generator.mapping: FINISHING_RATE / config.mapping_lr_multiplier}
    groups = [{"params": list(part.parameters()), "lr": rate, "peak": rate} for part, rate in rates.items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    unflipped = torch.zeros(batch, dtype=torch.bool)
    with track_progress(steps, "pretrain: finishing") as advance:
        for step in range(steps):
            cool(optimizer, step / steps, 1.0)
            indices = torch.randint(len(bank), (batch,), generator=rng)
            z = complete(codes[training[indices]], config.z_dim, rng).to(device)
            with mixed_precision(device, autocast):
                images = generator.synthesis(generator.mapping(z))
                loss = absolute_error(images, bank.batch(indices, unflipped, device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            advance(1, l1=float(loss.detach()))
    with torch.no_grad():
        w = [
            generator.mapping.to_w(complete(part, config.z_dim, rng).to(device)) for part in codes[training].split(1024)
        ]
    generator.mapping.w_avg.copy_(torch.cat(w).mean(dim=0))


def complete(codes: Tensor, z_dim: int, rng: torch.Generator) -> Tensor:
    """Convert codes ``[B, K]`` to z ``[B, z_dim]``: the remaining dimensions are noise."""
    noise = torch.randn(len(codes), z_dim - codes.shape[1], generator=rng)
    return torch.cat([codes, noise], dim=1)
