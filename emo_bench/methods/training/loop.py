"""The training loop that may be killed at any moment: given the same command again, it goes on to the same result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.loss_log import LossLog
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.progress import track_progress

STATE, LOSSES = "train.pt", "train.csv"
# Losses that the progress display shows where no others are named.
SHOWN = 2


class Stateful(Protocol):
    """What can be saved and restored: modules, optimisers, :class:`~.weight_average.WeightAverage`."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Steps(Protocol):
    """A training that takes one step at a time; ``step`` is the number of the next one."""

    step: int

    def run_step(self) -> Mapping[str, float]: ...


class Training(Steps, Protocol):
    """Steps whose every random number comes from the seed and the step's number.

    ``state`` holds everything the next step depends on, in tensors, plain values and containers of them, and
    ``restore`` goes back to it.
    """

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Resumable:
    """A training whose state is its step and the states of its ``parts``; a subclass adds ``run_step``.

    Attributes:
        step: number of the next step, from 0.
        parts: everything else that the next step depends on, by the name it has in the state.
    """

    step: int = 0
    parts: Mapping[str, Stateful]

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {"step": self.step, **{name: part.state_dict() for name, part in self.parts.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.step = int(state["step"])
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


Step = Callable[[int, np.random.Generator], Mapping[str, "float | Tensor"]]


def train(
    workspace: Workspace,
    steps: int,
    step: Step,
    state: Mapping[str, Stateful],
    *,
    label: str,
    checkpoint_every: int = 100,
    remedy: str = "try a lower learning rate",
) -> None:
    """Take optimisation steps, from where an interrupted fit stopped.

    Shows the progress, writes the losses (``train.csv``, a row a step) and, every ``checkpoint_every`` steps and at the
    end, the state (``train.pt``) into ``workspace.folder``. Both are written so that a kill does no harm. Called again
    after a kill, it takes up the last state, and ends with the result of an undisturbed training: before each step
    torch's random numbers are seeded with ``workspace.seed`` and the step's number.

    Args:
        workspace: of the fit.
        steps: in all.
        step: takes one step; it gets the step's number (from 0) and a numpy generator seeded for this step, from which
            it draws whatever it needs, and returns its losses by name: floats or scalar tensors.
        state: everything that a step changes, by name: modules, optimisers, a ``WeightAverage``.
        label: of the progress display.
        checkpoint_every: steps between two states on disk.
        remedy: what the user may try where a loss is not finite.

    Raises:
        UserError: a loss is NaN or infinite; the last good state is kept.

    Example::

        def step(number, rng):
            rows = rng.integers(len(frames), size=8)
            set_rates(optimizer, 1e-3, cosine_share(number, 500, 0.05))
            loss = (network(inputs[rows]) - frames.images(rows)).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update(half_life_decay(number, 8, half_life_images=400))
            return {"l1": loss}

        state = {"network": network, "optimizer": optimizer, "average": average}
        train(self.workspace, 500, step, state, label="my-method: fit")
    """
    run_training(_Steps(step, state, workspace.seed, label, remedy), workspace.folder, steps, checkpoint_every, label)


class _Steps(Resumable):
    """Steps given as a function."""

    def __init__(self, step: Step, parts: Mapping[str, Stateful], seed: int, label: str, remedy: str) -> None:
        self.parts = parts
        self._take, self._seed, self._label, self._remedy = step, seed, label, remedy

    def run_step(self) -> dict[str, float]:
        rng = np.random.default_rng((self._seed, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        losses = self._take(self.step, rng)
        values = {name: float(loss.detach() if isinstance(loss, Tensor) else loss) for name, loss in losses.items()}
        require_finite(values, self._label, self.step, self._remedy)
        self.step += 1
        return values


def run_training(
    training: Training,
    folder: Path,
    steps: int,
    checkpoint_every: int,
    label: str,
    *,
    state_name: str = STATE,
    shown: Sequence[str] | None = None,
    on_checkpoint: Callable[[], None] = lambda: None,
) -> None:
    """Run ``training`` up to ``steps``, from the state in ``folder`` if there is one.

    Leaves the state and a row of losses a step (``train.csv``) in ``folder``. :func:`train` does the same for a
    function.

    Args:
        training: at its start.
        folder: of the run.
        steps: in all.
        checkpoint_every: steps between two states on disk.
        label: of the progress display.
        state_name: name of the state's file.
        shown: losses that the progress display shows; None: the first two.
        on_checkpoint: called after each state is written.
    """
    state = load_state(folder / state_name)
    if state is not None:
        training.restore(state)

    def checkpoint() -> None:
        save_state(folder / state_name, training.state())
        on_checkpoint()

    run_steps(training, folder, steps, label, shown=shown, checkpoint=checkpoint, checkpoint_every=checkpoint_every)


def run_steps(
    training: Steps,
    folder: Path,
    steps: int,
    label: str,
    *,
    shown: Sequence[str] | None = None,
    checkpoint: Callable[[], None] | None = None,
    checkpoint_every: int = 1,
) -> None:
    """Run ``training`` from where it stands up to ``steps``, with a progress display and a row of losses a step.

    Args:
        training: at its start, or restored.
        folder: of the run; rows of ``train.csv`` from the training's step on are dropped.
        steps: in all.
        label: of the progress display.
        shown: losses that the progress display shows; None: the first two.
        checkpoint: called every ``checkpoint_every`` steps and at the end, when the rows of these steps are written.
    """
    log = LossLog(folder / LOSSES, training.step)
    with track_progress(steps, label) as advance:
        if training.step:
            advance(training.step)
        while training.step < steps:
            values = training.run_step()
            log.add(training.step - 1, values)
            advance(1, **{name: values[name] for name in (shown or list(values)[:SHOWN])})
            if checkpoint and (training.step % checkpoint_every == 0 or training.step == steps):
                log.flush()
                checkpoint()
    log.close()
