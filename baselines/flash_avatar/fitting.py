"""Training of FlashAvatar: the first colours, the losses, and a step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from baselines.camera import Camera
from baselines.flash_avatar.avatar import FlashAvatarModel
from baselines.flash_avatar.config import FlashAvatarConfig
from baselines.flash_avatar.frames import FlashFrames, Shown
from emo_bench.errors import UserError
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.methods.training.learning_rate import cosine_share, set_rates
from emo_bench.methods.training.loop import Resumable

Perceptual = Callable[[Tensor, Tensor], Tensor]
# A Gaussian is visible if the sum of its weights over all pictures is greater than this, in pixels.
FIRST_WEIGHT = 1.0
# As in 3D Gaussian splatting: second moments of rarely visible Gaussians are small.
ADAM_EPS = 1e-15


class FlashAvatarFit(Resumable):
    """Trains a model step by step, one frame a step.

    The random numbers of a step depend only on the seed and the step's number. A fit that was killed and continues from
    a checkpoint therefore ends with the same weights as a fit without interruption (on a GPU except for the order of
    sums).

    Args:
        model: the model to train, on its device.
        frames: the training frames.
        camera: the camera of the frames.
        config: loss weights, learning rates, numbers of steps.
        perceptual: distance of batches in [-1, 1], or None if that loss is not used.
        seed: the run's seed.
    """

    def __init__(
        self,
        model: FlashAvatarModel,
        frames: FlashFrames,
        camera: Camera,
        config: FlashAvatarConfig,
        perceptual: Perceptual | None,
        seed: int,
    ) -> None:
        self.model = model
        self._frames, self._camera, self._config = frames, camera, config
        self._perceptual, self._seed = perceptual, seed
        own = [(model.colour, config.colour_lr), (model.opacity, config.opacity_lr)]
        own += [(model.scale, config.scale_lr), (model.rotation, config.rotation_lr)]
        self._rates = (config.lr, *(rate for _, rate in own))
        groups = [{"params": [*model.network.parameters()]}, *({"params": [values]} for values, _ in own)]
        self._optimizer = torch.optim.Adam(groups, lr=config.lr, eps=ADAM_EPS, fused=True)
        self.parts = {"model": model, "optimizer": self._optimizer}

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; return its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        config = self._config
        row = int(np.random.default_rng((self._seed, self.step)).integers(len(self._frames)))
        losses = self._losses(self._frames.row(row))
        total = torch.stack([getattr(config, f"{name}_weight", 1.0) * loss for name, loss in losses.items()]).sum()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        require_finite(values, "flash-avatar: training", self.step, "try --set lr=...")
        set_rates(self._optimizer, self._rates, cosine_share(self.step, config.steps, config.final_lr_share))
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._optimizer.step()
        self.step += 1
        return {"perceptual": math.nan, **values}

    def _losses(self, shown: Shown) -> dict[str, Tensor]:
        config, model = self._config, self.model
        drawn = model(shown.drive, self._camera)
        image, target = drawn.over(model.behind()), shown.picture
        if config.background == "white":
            target = torch.where(shown.mask[..., None] > 0, target, 1.0)
        huber = nn.functional.huber_loss(image, target, delta=config.huber_delta, reduction="none").mean(dim=2)
        losses = {"huber": huber.mean(), "mouth": (shown.mouth * huber).mean()}
        if config.background == "plate":
            losses["mask"] = (drawn.opacity - shown.mask).abs().mean()
        late = self.step >= config.perceptual_start * config.steps
        if self._perceptual is not None and late and self.step % config.perceptual_every == 0:
            ours, theirs = ((x.clamp(0.0, 1.0) * 2.0 - 1.0).permute(2, 0, 1)[None] for x in (image, target))
            losses["perceptual"] = config.perceptual_every * self._perceptual(ours, theirs).mean()
        return losses


def colour_gaussians(model: FlashAvatarModel, frames: FlashFrames, camera: Camera) -> None:
    """Start each colour as the mean that the Gaussian covers; a hidden one takes that of a visible neighbour.

    Raises:
        UserError: the masks of these frames show none of the Gaussians.
    """
    from scipy.spatial import KDTree

    sums, weights = torch.zeros_like(model.colour), torch.zeros_like(model.opacity)
    for row in evenly_spaced(range(len(frames)), model.config.first_colours):
        shown = frames.row(int(row))
        drawn = model(shown.drive, camera).colour
        # A picture is linear in the colours, so the gradient of its product with another picture is the sum.
        mask = shown.mask[..., None]
        (covered,) = torch.autograd.grad((drawn * mask * shown.picture).sum(), model.colour, retain_graph=True)
        (weight,) = torch.autograd.grad((drawn * mask).sum(), model.colour)
        sums, weights = sums + covered, weights + weight[:, 0]
    seen = (weights > FIRST_WEIGHT).cpu()
    if not seen.any():
        raise UserError(
            "flash-avatar: no Gaussian lies in the foreground masks of the training frames; look at the masks of this "
            "actor, or --set first_colours=0"
        )
    places = model.places.cpu().numpy()
    _, near = KDTree(places[seen.numpy()]).query(places)
    with torch.no_grad():
        model.colour.copy_((sums / weights[:, None])[seen][torch.from_numpy(near)])
