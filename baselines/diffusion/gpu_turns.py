"""Networks that are on the GPU only while they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module


class GpuTurns:
    """Networks that are on a device one group at a time, while the others are in main memory.

    Args:
        device: where they compute.
        groups: networks that compute together, for example a U-Net and its ControlNet.
    """

    def __init__(self, device: str, groups: Sequence[Sequence[Any]]) -> None:
        self.device = torch.device(device)
        self._groups: list[list[Any]] = [[] for _ in groups]
        self._last: int | None = None
        for number, group in enumerate(groups):
            for network in group:
                self._add(network, number)

    def join(self, network: Any, other: Any) -> None:
        """Let a network compute in the turns of another one, which has turns already."""
        self._add(network, next(number for number, group in enumerate(self._groups) if other in group))
        self._last = None

    def take(self, number: int) -> None:
        """Bring a group to the device, after all others went to main memory."""
        if number == self._last:
            return
        for group in (group for each, group in enumerate(self._groups) if each != number):
            for network in group:
                network.to("cpu")
        for network in self._groups[number]:
            network.to(self.device)
        self._last = number

    def _add(self, network: Any, number: int) -> None:
        network.to("cpu")
        add_hook_to_module(network, _Turn(self, number))
        self._groups[number].append(network)


class _Turn(ModelHook):  # type: ignore[misc]
    """accelerate's hook, which diffusers calls before a forward pass, before encoding and before decoding."""

    def __init__(self, turns: GpuTurns, number: int) -> None:
        self.turns, self.number = turns, number

    def pre_forward(self, module: Any, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        self.turns.take(self.number)
        return arguments, named
