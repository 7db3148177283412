"""Train the small CLIP with open_clip's loss; an interrupted training continues and ends with the same bits."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emo_bench.errors import UserError
from emo_bench.methods.training import state_file
from emo_bench.methods.training.loss_log import cut_rows
from emo_bench.system.devices import mixed_precision
from emo_bench.untrusted.torch_archive import read_torch
from factory.clip.augmentation import views
from factory.clip.captions import caption, training_words
from factory.clip.styled_bank import StyledBank
from factory.clip.styles import NAMES, PHOTO, STYLES
from factory.clip.towers import DEVIATION, MEAN, MODEL, new_model, require_open_clip, save_model, tokenizer_of_portraits
from factory.clip.wordings import ALL, FIRST, JUDGE, Wordings

COLUMNS = ("step", "seconds", "images_per_s", "loss", "accuracy", "pair_accuracy", "scale", "rate")
FACTS_FILE = "facts.json"
LARGEST_SCALE = math.log(100.0)
MODEL_NAMES = {FIRST.name: "clip-portraits", JUDGE.name: "clip-judge"}


@dataclass(frozen=True)
class ClipConfig:
    """Settings of the training; a resumed training must have the same ones.

    Attributes:
        steps: number of steps of the first part; its learning rate decreases to zero.
        refine_steps: number of steps of the second part. Its photos come in pairs of one person, smiling and serious,
            with captions that say so. Its loss is also computed within each pair and along one coordinate: the
            difference between the two photos is small, and is learned only if nothing else distinguishes them.
        refine_learning_rate: maximum learning rate of the second part; it also decreases to zero.
        batch: number of pictures per step.
        photo_share: share of photos in a batch; photos differ only in attributes, so they are hard negatives of each
            other.
        learning_rate: maximum learning rate.
        warmup_steps: number of steps of linear increase to it.
        weight_decay: weight decay of matrices, not of embeddings, gains and biases.
        autocast: whether the image tower computes in bfloat16.
        seed: seed of all random choices.
        wordings: name of the words of its captions, ``first`` or ``judge`` (:mod:`factory.clip.wordings`).
    """

    steps: int = 3000
    refine_steps: int = 900
    refine_learning_rate: float = 5e-4
    batch: int = 128
    photo_share: float = 0.5
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.05
    autocast: bool = True
    seed: int = 0
    wordings: str = FIRST.name

    @property
    def words(self) -> Wordings:
        """The words of its captions."""
        return ALL[self.wordings]

    @property
    def model_name(self) -> str:
        """The name of the model that it trains."""
        return MODEL_NAMES[self.wordings]

    @property
    def all_steps(self) -> int:
        """The number of steps of both parts."""
        return self.steps + self.refine_steps


@dataclass
class ClipState:
    """The state of a training at a step: towers, optimiser, seconds so far."""

    config: ClipConfig
    model: Any
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0


def new_state(config: ClipConfig, device: str = "cpu") -> ClipState:
    """Create the state of a new training."""
    model = new_model(config.seed, training_words(config.words)).to(device).train()
    model.visual.to(memory_format=torch.channels_last)  # type: ignore[union-attr]
    return ClipState(config, model, _optimizer(model, config))


def train(
    bank: StyledBank,
    out: Path,
    config: ClipConfig,
    device: str = "cpu",
    *,
    weights: Path | None = None,
    until: int | None = None,
    checkpoint_s: float = 120.0,
    log_every: int = 25,
) -> ClipState:
    """Start or continue training in the folder ``out`` up to the last step or to step ``until``.

    Writes ``state.pt``, ``log.csv``, ``captions.txt`` (samples of the training captions) and, at the end,
    ``facts.json`` and the model in the folder ``weights``, by default ``OUT/clip-portraits`` or ``OUT/clip-judge``.
    Raises UserError if ``out`` holds the training of another config or the loss is no longer finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = load_state(out / "state.pt", config, device)
    cut_rows(out / "log.csv", COLUMNS[0], state.step)
    loss_of = require_open_clip().ClipLoss()
    tokenize = tokenizer_of_portraits()
    end = min(config.all_steps, until if until is not None else config.all_steps)
    if state.step == 0:
        _write_captions(bank, config, out / "captions.txt")
    start_s, start_step, saved = state.seconds, state.step, time.monotonic()
    begun, measured = time.monotonic(), []
    while state.step < end:
        measured.append(_step(state, bank, loss_of, tokenize, device))
        state.seconds = start_s + time.monotonic() - begun
        if state.step % log_every == 0 or state.step == end:
            speed = (state.step - start_step) * config.batch / max(state.seconds - start_s, 1e-9)
            _log(out / "log.csv", state, np.mean(measured, axis=0).tolist(), speed)
            measured = []
        if time.monotonic() - saved >= checkpoint_s:
            save_state(out / "state.pt", state)
            saved = time.monotonic()
    save_state(out / "state.pt", state)
    if state.step >= config.all_steps:
        save_model(weights or out / config.model_name, state.model)
        parameters = sum(p.numel() for p in state.model.parameters())
        facts = {"config": asdict(config), "seconds": state.seconds, "parameters": parameters}
        (out / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")
    return state


def read_facts(out: Path) -> dict[str, Any]:
    """Return config, seconds and number of parameters of a training; UserError if it is not finished."""
    if not (out / FACTS_FILE).is_file():
        raise UserError(f"{out} holds no finished training: run the stage train first")
    return dict(json.loads((out / FACTS_FILE).read_text(encoding="utf-8")))


def batch_of(bank: StyledBank, config: ClipConfig, step: int) -> tuple[Tensor, Tensor, list[str]]:
    """Return a step's pictures uint8 ``[B, S, S, 3]``, whether each is a photo (bool ``[B]``), and the captions."""
    rng = np.random.default_rng((config.seed, step))
    count, refining = round(config.photo_share * config.batch), step >= config.steps
    photos = bank.smile_pairs(count // 2, rng) if refining else rng.choice(bank.photos, count)
    rows = np.concatenate([photos, rng.choice(bank.styled, config.batch - len(photos))])
    captions = [
        caption(STYLES[bank.style[row]], bank.attributes[row], rng, refining and k < len(photos), config.words)
        for k, row in enumerate(rows)
    ]
    order = np.argsort(rows, kind="stable")
    pictures = np.empty((config.batch, *bank.images_u8.shape[1:]), dtype=np.uint8)
    pictures[order] = bank.images_u8[rows[order]]
    photo = NAMES.index(PHOTO)
    return torch.from_numpy(pictures), torch.from_numpy(bank.style[rows] == photo), captions


def _step(
    state: ClipState, bank: StyledBank, loss_of: nn.Module, tokenize: Callable[..., Tensor], device: str
) -> tuple[float, float, float]:
    """Run one step; return the loss and the share of pictures nearest to their own caption, of all and within pairs."""
    config, model = state.config, state.model
    pictures, photos, captions = batch_of(bank, config, state.step)
    rng = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
    refining = state.step >= config.steps
    seen = views(pictures, photos, MODEL["vision_cfg"]["image_size"], rng, faces=refining)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    x = ((seen - mean) / deviation).to(device, memory_format=torch.channels_last)
    for group in state.optimizer.param_groups:
        group["lr"] = _rate(config, state.step)
    with mixed_precision(x.device, config.autocast):
        image = model.encode_image(x)
    image = nn.functional.normalize(image.float(), dim=-1)
    text = model.encode_text(tokenize(captions).to(device), normalize=True)
    loss = loss_of(image, text, model.logit_scale.exp())
    paired = math.nan
    if refining:
        of_pairs, paired = pair_loss(image[photos], text[photos], model.logit_scale.exp())
        loss = loss + of_pairs + axis_loss(image[photos], text[photos], model.logit_scale.exp())
    if not torch.isfinite(loss):
        raise UserError(f"the loss is not finite at step {state.step}: lower --learning-rate")
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    state.optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0.0, LARGEST_SCALE)
        nearest = (image @ text.t()).argmax(dim=1).cpu()
    state.step += 1
    return float(loss.detach()), float((nearest == torch.arange(len(nearest))).float().mean()), paired


def pair_loss(image: Tensor, text: Tensor, scale: Tensor) -> tuple[Tensor, float]:
    """Compute CLIP's loss within pairs: rows 2k and 2k + 1 of unit features ``[2 K, D]`` are mutual negatives.

    Returns the loss, a scalar, and the share of pictures that are nearer to their own caption than to the other's.
    """
    logits = scale * torch.einsum("kid,kjd->kij", image.unflatten(0, (-1, 2)), text.unflatten(0, (-1, 2)))
    right = torch.arange(2, device=logits.device).expand(len(logits), 2)
    loss = nn.functional.cross_entropy(logits, right) + nn.functional.cross_entropy(logits.mT, right)
    return loss / 2.0, float((logits.detach().argmax(dim=2) == right).float().mean())


def axis_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Compute the cross-entropy of the first coordinate of features ``[2 K, D]``: high in even rows, low in odd ones.

    While neither tower distinguishes a smile, neither gives the other a gradient for learning it. A coordinate that
    means the smile in both towers gives one.
    """
    smiling = (torch.arange(len(image), device=image.device) % 2 == 0).float()
    logits = scale * torch.stack([image[:, 0], text[:, 0]])
    return nn.functional.binary_cross_entropy_with_logits(logits, smiling.expand_as(logits))


def _rate(config: ClipConfig, step: int) -> float:
    first, last, highest = config.warmup_steps, config.steps, config.learning_rate
    if step >= config.steps:
        step, last, highest = step - config.steps, config.refine_steps, config.refine_learning_rate
        first = min(first, last // 4)
    if step < first:
        return highest * (step + 1) / first
    progress = (step - first) / max(last - first, 1)
    return highest * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def _optimizer(model: nn.Module, config: ClipConfig) -> torch.optim.AdamW:
    plain = [p for name, p in model.named_parameters() if p.ndim < 2 or "embedding" in name]
    matrices = [p for name, p in model.named_parameters() if not (p.ndim < 2 or "embedding" in name)]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def save_state(path: Path, state: ClipState) -> None:
    """Write the state so that the file is always complete, either old or new."""
    content = {
        "config": json.dumps(asdict(state.config), sort_keys=True),
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
    }
    state_file.save_state(path, content)


def load_state(path: Path, config: ClipConfig, device: str = "cpu") -> ClipState:
    """Read the state in ``path``, or create a new one if there is no file; UserError if it is of another config."""
    state = new_state(config, device)
    if not path.exists():
        return state
    try:
        content = read_torch(path, "training state")
        stored = json.loads(content["config"])
    except Exception as error:
        raise UserError(f"{path} is not a training state ({error}): delete it to start again.") from error
    different = [name for name, value in asdict(config).items() if stored.get(name) != value]
    if different:
        name = different[0]
        raise UserError(
            f"{path} was trained with {name}={stored.get(name)}, not {getattr(config, name)}: "
            "use that, or another --out."
        )
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.step, state.seconds = int(content["step"]), float(content["seconds"])
    return state


def _write_captions(bank: StyledBank, config: ClipConfig, path: Path) -> None:
    _, _, captions = batch_of(bank, config, 0)
    path.write_text("\n".join(captions) + "\n", encoding="utf-8")


def _log(path: Path, state: ClipState, measured: list[float], speed: float) -> None:
    values = (
        state.step,
        round(state.seconds, 1),
        round(speed, 1),
        *(round(value, 4) for value in measured),
        round(float(state.model.logit_scale.detach().exp()), 2),
        f"{_rate(state.config, state.step - 1):.2e}",
    )
    fresh = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(COLUMNS)
        writer.writerow(values)
    numbers = ", ".join(f"{name} {value}" for name, value in zip(COLUMNS[2:], values[2:], strict=True))
    print(f"portrait clip: step {state.step}/{state.config.all_steps}, {numbers}", flush=True)
