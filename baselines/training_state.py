"""Training that may be killed at any moment and goes on to the same result: states, losses, progress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors import safe_open
from torch import Tensor

from emo_avatar.checkpointing import load_state, save_state, save_tensors
from emo_avatar.loss_log import LossLog
from emo_bench.errors import UserError
from emo_bench.progress import track_progress

STATE, CHECKPOINT, LOSSES = "train.pt", "checkpoint.safetensors", "train.csv"


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


def load_checkpoint(folder: Path, config_json: str) -> dict[str, Tensor]:
    """Read the fitted avatar.

    Raises:
        UserError: there is none, or it was fitted with another configuration.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise UserError(f"{path} is missing: run the fit first")
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("config") != config_json:
            raise UserError(f"{path} was fitted with other settings: use the settings in its run.json")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
