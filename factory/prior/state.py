"""The complete state of a prior's training, from which it continues after an interruption."""

import copy
import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from emo_avatar.checkpoints import load_stylegan2
from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.growth import grow_discriminator, grow_generator
from emo_bench.errors import UserError
from emo_bench.methods.training import state_file
from emo_bench.perceptual import PerceptualDistance
from emo_bench.untrusted.torch_archive import read_torch
from factory.prior.adversarial import AdversarialConfig, FeatureJudge, lazy_adam
from factory.prior.features import FeatureDiscriminator
from factory.prior.recipes import BACKEND, RecipeEncoder, recipe_optimizer
from factory.prior.warmup import Encoder, blank_rgb, warmup_optimizer


@dataclass(frozen=True)
class PretrainConfig:
    """The settings of a training; a resumed training must have the same ones.

    Widths are those of `GeneratorConfig`; the network has no noise inputs, because they paint blotches at these sizes.
    The discriminator has ``critic_share`` of the generator's widths, because the feature discriminator does part of its
    work. The first ``warmup_images`` are used for reconstruction (0: none), from recipes of ``recipe_dim`` numbers if
    the bank has some (0: it has none), otherwise as an autoencoder. ``flip`` mirrors half of the images, but not those
    with recipes. Raises UserError for sizes that `GeneratorConfig` refuses.
    """

    resolution: int = 128
    z_dim: int = 256
    w_dim: int = 256
    mapping_layers: int = 4
    channel_base: int = 4096
    channel_max: int = 256
    critic_share: float = 0.5
    batch: int = 16
    flip: bool = True
    warmup_images: int = 8000
    recipe_dim: int = 0
    seed: int = 0
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)

    def __post_init__(self) -> None:
        self.generator()

    def generator(self) -> GeneratorConfig:
        """The generator's sizes."""
        return GeneratorConfig(
            self.resolution,
            z_dim=self.z_dim,
            w_dim=self.w_dim,
            mapping_layers=self.mapping_layers,
            channel_base=self.channel_base,
            channel_max=self.channel_max,
            use_noise=False,
        )

    def discriminator(self) -> DiscriminatorConfig:
        """The discriminator's sizes."""
        base, widest = (round(width * self.critic_share) for width in (self.channel_base, self.channel_max))
        return DiscriminatorConfig(self.resolution, channel_base=base, channel_max=widest)


@dataclass
class PretrainState:
    """Networks, optimisers and counters; ``encoder`` exists only in the warm-up, ``features`` only with a weight."""

    config: PretrainConfig
    generator: Generator
    discriminator: Discriminator
    average: Generator
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam
    encoder: Encoder | RecipeEncoder | None
    optimizer_warmup: torch.optim.Adam | None
    perceptual: PerceptualDistance | None
    features: FeatureDiscriminator | None
    optimizer_f: torch.optim.Adam | None
    rng: torch.Generator
    images: int = 0
    steps: int = 0
    seconds: float = 0.0
    best: float = math.inf
    """The lowest Frechet distance of a snapshot so far."""

    def judge(self) -> FeatureJudge | None:
        """The second discriminator with its optimiser."""
        if self.features is None or self.optimizer_f is None:
            return None
        return FeatureJudge(self.features, self.optimizer_f)

    def shown(self) -> Generator:
        """The generator for samples and export: the averaged one after adversarial training has begun."""
        return self.average if self.encoder is None else self.generator

    def draws(self) -> bool:
        """Whether the present generator makes pictures from z: only after its mapping has learned the recipes."""
        return not isinstance(self.encoder, RecipeEncoder)

    def end_warmup(self) -> None:
        """Copy an image encoder's trunk to the discriminator and restart the averaged generator."""
        if isinstance(self.encoder, Encoder):
            self.encoder.hand_over(self.discriminator)
        self.average.load_state_dict(self.generator.state_dict())
        self.encoder, self.optimizer_warmup, self.perceptual = None, None, None


def new_state(config: PretrainConfig, device: str, init: Path | None = None) -> PretrainState:
    """Create the state of a new training; ``init`` starts from a trained prior of the same or a lower resolution.

    Raises UserError if ``init`` does not fit the config or the weights of the features are not on this machine.
    """
    torch.manual_seed(config.seed)
    generator, discriminator = Generator(config.generator()), Discriminator(config.discriminator())
    encoder: Encoder | RecipeEncoder | None = None
    if config.warmup_images > 0 and config.recipe_dim > 0:
        encoder = RecipeEncoder(config.recipe_dim, config.w_dim)
    elif config.warmup_images > 0:
        encoder = Encoder(config.discriminator(), config.z_dim)
    if init is not None:
        generator, discriminator = _grown(config, init, discriminator)
    elif encoder is not None:
        blank_rgb(generator)
    for network in (generator, discriminator, encoder):
        if network is not None:
            network.to(device).train()
    average = copy.deepcopy(generator).requires_grad_(False).eval()
    rate, interval = config.adversarial.learning_rate, config.adversarial.r1_interval
    features = None
    if config.adversarial.feature_weight > 0:
        features = FeatureDiscriminator.from_assets(device, config.seed)
    return PretrainState(
        config=config,
        generator=generator,
        discriminator=discriminator,
        average=average,
        optimizer_g=torch.optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.99), fused=True),
        optimizer_d=lazy_adam(list(discriminator.parameters()), rate, interval),
        encoder=encoder,
        optimizer_warmup=_warmup_optimizer(generator, encoder),
        perceptual=PerceptualDistance.from_assets(BACKEND, device) if isinstance(encoder, RecipeEncoder) else None,
        features=features,
        optimizer_f=None
        if features is None
        else torch.optim.Adam(features.parameters(), lr=rate, betas=(0.0, 0.99), fused=True),
        rng=torch.Generator().manual_seed(config.seed),
    )


def _warmup_optimizer(generator: Generator, encoder: Encoder | RecipeEncoder | None) -> torch.optim.Adam | None:
    if isinstance(encoder, RecipeEncoder):
        return recipe_optimizer(generator, encoder)
    return None if encoder is None else warmup_optimizer(generator, encoder)


def _grown(config: PretrainConfig, init: Path, discriminator: Discriminator) -> tuple[Generator, Discriminator]:
    checkpoint = load_stylegan2(init)
    try:
        generator = grow_generator(checkpoint.generator, config.resolution)
    except ValueError as error:
        raise UserError(f"{init} cannot start a {config.resolution} px prior: {error}.") from error
    if generator.config != config.generator():
        raise UserError(f"{init} has other sizes: {generator.config}, not {config.generator()}.")
    if checkpoint.discriminator is not None:
        discriminator = grow_discriminator(checkpoint.discriminator, config.resolution)
    return generator, discriminator


NETWORKS = ("generator", "discriminator", "average", "encoder", "features")
OPTIMIZERS = ("optimizer_g", "optimizer_d", "optimizer_warmup", "optimizer_f")


def save_state(path: Path, state: PretrainState) -> None:
    """Write the state so that the file is always complete, either old or new."""
    content: dict[str, Any] = {
        "config": json.dumps(dataclasses.asdict(state.config), sort_keys=True),
        "rng": state.rng.get_state(),
        "images": state.images,
        "steps": state.steps,
        "seconds": state.seconds,
        "best": state.best,
    }
    for name in (*NETWORKS, *OPTIMIZERS):
        part = getattr(state, name)
        content[name] = None if part is None else part.state_dict()
    state_file.save_state(path, content)


def load_state(path: Path, config: PretrainConfig, device: str) -> PretrainState:
    """Read a state written by `save_state`; UserError if it belongs to another config or is damaged."""
    try:
        content = read_torch(path, "training state")
        stored = json.loads(content["config"])
    except Exception as error:
        raise UserError(f"{path} is not a training state ({error}): delete it to start again.") from error
    wanted = json.loads(json.dumps(dataclasses.asdict(config)))
    different = [name for name in wanted if stored.get(name) != wanted[name]]
    if different:
        name = different[0]
        raise UserError(
            f"{path} was trained with {name}={stored.get(name)}, not {wanted[name]}: use that, or another --out."
        )
    state = new_state(config, device)
    if content["encoder"] is None:
        state.encoder, state.optimizer_warmup, state.perceptual = None, None, None
    for name in (*NETWORKS, *OPTIMIZERS):
        if content[name] is not None:
            getattr(state, name).load_state_dict(content[name])
    state.rng.set_state(content["rng"].cpu())
    state.images, state.steps, state.seconds = content["images"], content["steps"], content["seconds"]
    state.best = float(content["best"])
    return state
