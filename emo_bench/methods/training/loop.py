"""The resumable training loop: after a kill, the same command continues the training and ends with the same result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from emo_bench.methods.interface import Workspace
from emo_bench.methods.max_minutes import write_record
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.loss_log import LossLog
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.methods.training.time_limit import STATE_KEY, LimitedSteps, TimeLimit, time_limit_of
from emo_bench.methods.training.weight_average import WeightAverage
from emo_bench.progress import track_progress

STATE, LOSSES = "train.pt", "train.csv"
# Losses that the progress display shows by default.
SHOWN = 2


class Stateful(Protocol):
    """An object that can be saved and restored: module, optimiser, :class:`~.weight_average.WeightAverage`."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Steps(Protocol):
    """A training that takes one step at a time; ``step`` is the number of the next step.

    If the fit has a limit on its time, numbers are left out, and ``step`` is set to a later one. A training in which
    something happens at one number (and not from this number on) lists it in an attribute ``required_steps``.
    """

    step: int

    def run_step(self) -> Mapping[str, float]: ...


class Training(Steps, Protocol):
    """A training whose random numbers depend only on the seed and the step's number.

    ``state`` holds everything that the next step depends on, in tensors, plain values and containers of them.
    ``restore`` returns to that state.
    """

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Resumable:
    """A training whose state is its step and the states of its ``parts``; a subclass adds ``run_step``.

    Attributes:
        step: number of the next step, from 0.
        parts: everything else that the next step depends on, by its name in the state.
        required_steps: numbers of steps that a limit on the time of the fit must not leave out.
    """

    step: int = 0
    parts: Mapping[str, Stateful]
    required_steps: Collection[int] = ()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {"step": self.step, **{name: part.state_dict() for name, part in self.parts.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a saved state."""
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
    required_steps: Collection[int] = (),
) -> None:
    """Run the optimisation steps; an interrupted fit continues where it stopped.

    The function shows the progress. It writes the losses (``train.csv``, one row per step) and, every
    ``checkpoint_every`` steps and at the end, the state (``train.pt``) into ``workspace.folder``. A kill leaves both
    files usable. Called again after a kill, it continues from the last state and ends with the same result as a
    training without interruption, because before each step torch's random numbers are seeded with ``workspace.seed``
    and the step's number.

    With ``--max-minutes`` some numbers are left out, evenly, so that the last one is reached when the time is over.
    Rates and phases that follow the number then follow the time. What happens in only one step needs its number in
    ``required_steps``.

    Args:
        workspace: the workspace of the fit.
        steps: the total number of steps.
        step: runs one step. Its arguments are the step's number (from 0) and a numpy generator that is seeded for this
            step. It returns the losses by name: floats or scalar tensors.
        state: everything that a step changes, by name: modules, optimisers, a ``WeightAverage``.
        label: the label of the progress display.
        checkpoint_every: number of steps between two saved states.
        remedy: what the user may try if a loss is not finite.
        required_steps: numbers of steps that a limit on the time must not leave out.

    Raises:
        UserError: a loss is NaN or infinite; the last good state is kept. Or a limit leaves no time to train.

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
    training = _Steps(step, state, workspace.seed, label, remedy)
    training.required_steps = required_steps
    run_fit(training, workspace, steps, checkpoint_every, label)


def run_fit(training: Training, workspace: Workspace, steps: int, checkpoint_every: int, label: str) -> None:
    """Run the one training of a fit in the workspace's folder, within the time that the user allows; see
    :func:`run_training`.
    """
    run_training(training, workspace.folder, steps, checkpoint_every, label, limit=time_limit_of(workspace))


class _Steps(Resumable):
    """A training whose steps are calls of a function."""

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
    limit: TimeLimit | None = None,
) -> None:
    """Run ``training`` up to ``steps``, from the state in ``folder`` if there is one.

    It writes the state and one row of losses per step (``train.csv``) into ``folder``. :func:`train` does the same for
    a function.

    Args:
        training: the training at its start.
        folder: the run's folder.
        steps: the total number of steps.
        checkpoint_every: number of steps between two saved states.
        label: the label of the progress display.
        state_name: name of the state's file.
        shown: losses that the progress display shows; None: the first two.
        on_checkpoint: called after each state is written.
        limit: the limit on the time of the fit, see :func:`~.time_limit.time_limit_of`; its record is written last.

    Raises:
        UserError: the limit leaves no time to train.
    """
    state = load_state(folder / state_name)
    if state is not None:
        training.restore(state)
    limited = None
    if limit is not None:
        required = getattr(training, "required_steps", ())
        limited = LimitedSteps(limit, steps, required, None if state is None else state.get(STATE_KEY))
        limited.require_time(label)

    def checkpoint() -> None:
        save_state(folder / state_name, {**training.state(), **(limited.state() if limited else {})})
        on_checkpoint()

    run_steps(
        training,
        folder,
        steps,
        label,
        shown=shown,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        limited=limited,
    )
    if limited:
        write_record(folder, limited.record())


def run_steps(
    training: Steps,
    folder: Path,
    steps: int,
    label: str,
    *,
    shown: Sequence[str] | None = None,
    checkpoint: Callable[[], None] | None = None,
    checkpoint_every: int = 1,
    limited: LimitedSteps | None = None,
) -> None:
    """Run ``training`` from its present step up to ``steps``, with a progress display and one row of losses per step.

    Args:
        training: the training at its start, or restored.
        folder: the run's folder; rows of ``train.csv`` from the training's step on are dropped.
        steps: the total number of steps.
        label: the label of the progress display.
        shown: losses that the progress display shows; None: the first two.
        checkpoint: called every ``checkpoint_every`` steps and at the end, after the rows of these steps are written.
        limited: decides which steps are left out; None leaves out none.
    """
    log = LossLog(folder / LOSSES, training.step)
    taken = limited.taken if limited else training.step
    if limited:
        _tell_averages(training, limited.stride)
    with track_progress(steps, label, done=training.step) as advance:
        while training.step < steps:
            number = training.step
            values = training.run_step()
            log.add(number, values)
            taken += 1
            if limited:
                training.step = limited.after(training.step)
                _tell_averages(training, limited.stride)
            advance(training.step - number, **{name: values[name] for name in (shown or list(values)[:SHOWN])})
            if checkpoint and (taken % checkpoint_every == 0 or training.step == steps):
                log.flush()
                checkpoint()
    log.close()


def _tell_averages(training: Steps, stride: int) -> None:
    """Tell the averages of weights how many numbers further the next step is than the one before it."""
    for part in getattr(training, "parts", {}).values():
        if isinstance(part, WeightAverage):
            part.stride = stride
