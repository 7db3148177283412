"""Training that may be killed at any moment and goes on to the same result: states, losses, progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from emo_bench.errors import UserError
from emo_bench.methods.training.checkpointing import CHECKPOINT, REMEDY, load_state, save_state, save_tensors
from emo_bench.methods.training.loss_log import LossLog
from emo_bench.progress import track_progress
from emo_bench.untrusted.refusal import Unreadable, reading, refusing
from emo_bench.untrusted.safetensors_file import read_safetensors

AVATAR = "fitted avatar"
STATE, LOSSES = "train.pt", "train.csv"


class Training(Protocol):
    """Steps whose every random number comes from the seed and the step's number.

    ``state`` holds everything the next step depends on, in tensors, plain values and containers of them, and
    ``restore`` goes back to it.
    """

    step: int

    def run_step(self) -> Mapping[str, float]: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def run_training(training: Training, folder: Path, steps: int, checkpoint_every: int, label: str) -> None:
    """Run ``training`` up to ``steps``, from the state in ``folder`` if there is one.

    Leaves the state (``train.pt``) and a row of losses a step (``train.csv``) in ``folder``.

    Args:
        training: at its start.
        folder: of the run.
        steps: in all.
        checkpoint_every: steps between two states on disk.
        label: of the progress display.
    """
    state = load_state(folder / STATE)
    if state is not None:
        training.restore(state)
    log = LossLog(folder / LOSSES, training.step)
    with track_progress(steps, label) as advance:
        if training.step:
            advance(training.step)
        while training.step < steps:
            values = training.run_step()
            log.add(training.step - 1, values)
            advance(1, **dict(list(values.items())[:2]))
            if training.step % checkpoint_every == 0 or training.step == steps:
                log.flush()
                save_state(folder / STATE, training.state())
    log.close()


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], config_json: str) -> None:
    """Write the fitted avatar, whole or not at all."""
    save_tensors(folder / CHECKPOINT, tensors, {"config": config_json})


def load_checkpoint(folder: Path, config_json: str, required: Iterable[str] = ()) -> dict[str, Tensor]:
    """Read the fitted avatar, which holds at least the tensors ``required``; build from it inside ``restoring``.

    Raises:
        UserError: there is none, it is damaged, or it was fitted with another configuration.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise UserError(f"{path} is missing: run the fit first")
    tensors, metadata = read_safetensors(path, AVATAR, REMEDY)
    if metadata.get("config") != config_json:
        raise UserError(f"{path} was fitted with other settings: use the settings in its run.json")
    for name in required:
        if name not in tensors:
            raise UserError(f"{path} cannot be read as a {AVATAR} (it lacks {name}){REMEDY}")
    return tensors


def load_array(folder: Path, name: str, dtype: np.dtype, shape: tuple[int | None, ...]) -> np.ndarray:
    """One array of a checkpoint, of this type and shape (None: any length).

    Raises:
        UserError: there is no checkpoint, or it holds something else.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise UserError(f"{path} is missing: run the fit first")
    tensors, _ = read_safetensors(path, AVATAR, REMEDY)
    with reading(path, AVATAR, REMEDY):
        array = tensors[name].numpy()
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            raise Unreadable(f"{name} is {array.dtype} of shape {array.shape}")
        return array


def restoring(folder: Path) -> AbstractContextManager[None]:
    """Around the building of an avatar from its checkpoint: whatever does not fit is one UserError that names the
    file.
    """
    return refusing(folder / CHECKPOINT, AVATAR, REMEDY)
