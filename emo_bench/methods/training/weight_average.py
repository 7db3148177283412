"""The exponential moving average (EMA) of weights, which gives steadier frames than the weights of the last step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of a network's parameters.

    Args:
        parameters: the trained parameters by name, e.g. ``network.named_parameters()``. The average starts at their
            present values, on their device.

    Attributes:
        stride: how many steps an update stands for; more than 1 if a limit on the time of a fit leaves out steps. The
            average then forgets as much as in the whole training at the same place of its schedule.

    Example::

        average = WeightAverage(network.named_parameters())
        for step in range(steps):
            ...  # an optimisation step
            average.update(half_life_decay(step, batch, half_life_images=400))
        network.load_state_dict(average.merged(network.state_dict()))
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter] | Iterable[tuple[str, nn.Parameter]]) -> None:
        self.stride = 1
        self._parameters = dict(parameters)
        self._tensors = [parameter.detach().clone() for parameter in self._parameters.values()]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Update the average with the present parameters.

        ``decay`` (0 to 1) is the weight of the old average after one step.
        """
        decay = decay if self.stride == 1 else decay**self.stride
        torch._foreach_lerp_(self._tensors, list(self._parameters.values()), 1.0 - decay)

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a module's ``state_dict`` with the averaged parameters instead of its own."""
        return {**state, **self.state_dict()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged tensors by the names of their parameters."""
        return dict(zip(self._parameters, self._tensors, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor] | Sequence[Tensor]) -> None:
        """Load a saved average; states of older versions are lists in the order of the parameters."""
        values = [state[name] for name in self._parameters] if isinstance(state, Mapping) else state
        for tensor, value in zip(self._tensors, values, strict=True):
            tensor.copy_(value)


def half_life_decay(step: int, batch: int, half_life_images: float) -> float:
    """Return a step's decay for a half-life in images; at the start the half-life is a tenth of the images so far.

    Args:
        step: number of the step, from 0.
        batch: number of images in a step.
        half_life_images: number of images after which half of the average comes from newer weights.
    """
    half_life = min(half_life_images, 0.1 * ((step + 1) * batch))
    return 0.5 ** (batch / half_life)


def warmed_decay(step: int, decay: float) -> float:
    """Return ``decay``, or less in the first steps, so that the random initial weights are soon forgotten."""
    return min(decay, (1.0 + step) / (10.0 + step))
