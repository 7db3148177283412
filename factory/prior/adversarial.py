"""One training step of StyleGAN2: non-saturating loss, lazy R1, moving average of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from emo_avatar.stylegan2 import Discriminator, Generator
from emo_bench.system.devices import mixed_precision
from factory.prior.features import FeatureDiscriminator


@dataclass(frozen=True)
class AdversarialConfig:
    """Hyperparameters of adversarial training (Karras et al. 2020, appendix B).

    ``r1_gamma`` is the weight of the gradient penalty, which is applied every ``r1_interval`` steps and multiplied by
    that number. ``ema_images`` is the half-life, in images, of the averaged generator; at the beginning it is reduced
    to ``ema_rampup`` times the number of images seen. ``autocast`` computes the networks in bfloat16.
    ``feature_weight`` is the weight of a second discriminator on frozen perceptual features (`FeatureDiscriminator`); 0
    omits it.
    """

    learning_rate: float = 2e-3
    r1_gamma: float = 0.3
    r1_interval: int = 16
    ema_images: float = 5000.0
    ema_rampup: float = 0.05
    autocast: bool = True
    feature_weight: float = 1.0


@dataclass(frozen=True)
class FeatureJudge:
    """The second discriminator and its optimiser."""

    network: FeatureDiscriminator
    optimizer: torch.optim.Optimizer


def lazy_adam(parameters: list[torch.nn.Parameter], learning_rate: float, interval: int) -> torch.optim.Adam:
    """Create Adam with betas (0, 0.99), corrected for a regulariser every ``interval`` steps (appendix B)."""
    ratio = interval / (interval + 1)
    return torch.optim.Adam(parameters, lr=learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True)


def discriminator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    z: Tensor,
    config: AdversarialConfig,
    judge: FeatureJudge | None = None,
) -> dict[str, Tensor]:
    """Train the discriminator and the feature discriminator on ``real`` [B, 3, R, R] and images of ``z`` [B, z_dim]."""
    with torch.no_grad(), _cast(real, config):
        fake = generator.synthesis(generator.mapping(z))
    with _cast(real, config):
        fake_logits = discriminator(fake)
        real_logits = discriminator(real)
    loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    losses = {
        "loss_d": loss.detach(),
        "real_logit": real_logits.detach().mean(),
        "fake_logit": fake_logits.detach().mean(),
    }
    if judge is not None:
        with _cast(real, config):
            logits = judge.network(torch.cat([fake, real]))
        loss_f = F.softplus(logits[: len(fake)]).mean() + F.softplus(-logits[len(fake) :]).mean()
        judge.optimizer.zero_grad(set_to_none=True)
        loss_f.backward()
        judge.optimizer.step()
        losses["loss_f"] = loss_f.detach()
    return losses


def r1_step(
    discriminator: Discriminator, optimizer: torch.optim.Optimizer, real: Tensor, config: AdversarialConfig
) -> dict[str, Tensor]:
    """Compute the R1 penalty (Mescheder et al. 2018) of the discriminator's gradient at ``real`` images, in float32."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
    optimizer.zero_grad(set_to_none=True)
    (penalty * (config.r1_gamma / 2 * config.r1_interval)).backward()
    optimizer.step()
    return {"r1": penalty.detach()}


def generator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    z: Tensor,
    config: AdversarialConfig,
    judge: FeatureJudge | None = None,
) -> dict[str, Tensor]:
    """Train the generator against the discriminator and the feature discriminator, from latents ``z`` [B, z_dim]."""
    judges = [discriminator] if judge is None else [discriminator, judge.network]
    for network in judges:
        network.requires_grad_(False)
    with _cast(z, config):
        w = generator.mapping.to_w(z)
        fake = generator.synthesis(w[:, None].expand(-1, generator.config.num_ws, -1))
        loss = F.softplus(-discriminator(fake)).mean()
        if judge is not None:
            loss = loss + config.feature_weight * F.softplus(-judge.network(fake)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for network in judges:
        network.requires_grad_(True)
    optimizer.step()
    generator.mapping.update_w_avg(w)
    return {"loss_g": loss.detach()}


@torch.no_grad()
def update_average(
    average: Generator, generator: Generator, images: int, batch: int, config: AdversarialConfig
) -> None:
    """Move the averaged generator towards the trained one, after a total of ``images`` images."""
    half_life = min(config.ema_images, images * config.ema_rampup)
    keep = 0.5 ** (batch / max(half_life, 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1.0 - keep)
    average.mapping.w_avg.copy_(generator.mapping.w_avg)


def non_finite(losses: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first loss that is NaN or infinite, or None."""
    return next((name for name, value in losses.items() if not bool(torch.isfinite(value))), None)


def _cast(like: Tensor, config: AdversarialConfig) -> torch.autocast:
    return mixed_precision(like.device, config.autocast)
