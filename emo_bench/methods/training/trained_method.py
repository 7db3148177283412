"""The base class of a method that trains one network: settings, profiles, and the file of the fitted avatar."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from emo_bench.methods.interface import Method, Workspace
from emo_bench.methods.settings import MethodSettings
from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.settings import resolve_settings


class TrainedMethod(Method):
    """A method that trains one network. A subclass adds ``info``, the first two attributes, ``build``, ``fit`` and
    ``render``.

    Attributes:
        settings: the fields that ``--set`` may change, with the defaults of profile ``cpu``; one is ``resolution_px``.
        profile_settings: for each profile the fields that it changes; the keys are the profiles.
        config: the settings of this fit.

    Raises:
        UserError: an unknown profile or setting, or a value that does not fit.

    Example: docs/tutorial.md builds a U-Net on this class.
    """

    settings: ClassVar[type[MethodSettings]]
    profile_settings: ClassVar[Mapping[str, Mapping[str, Any]]]
    fit_files = (CHECKPOINT,)
    config: Any

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_settings(self.info.name, self.settings, self.profile_settings, workspace)
        self.resolution_px = self.config.resolution_px

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the keys of ``profile_settings``."""
        return tuple(cls.profile_settings)

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the untrained network; torch's random numbers are seeded with ``workspace.seed`` before the call."""

    @cached_property
    def network(self) -> nn.Module:
        """Return the network on ``workspace.device``; it is built at the first use."""
        torch.manual_seed(self.workspace.seed)
        return self.build().to(self.workspace.device)

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """End a fit: load ``tensors``, a ``state_dict``, into the network, and write the checkpoint."""
        self.network.load_state_dict(tensors)
        save_checkpoint(self.workspace.folder, tensors, self.config.model_dump_json())
        self.network.eval()

    def load(self) -> None:
        """Load the network of a finished fit.

        Raises:
            UserError: there is none, it is damaged, or it was fitted with other settings.
        """
        tensors = load_checkpoint(self.workspace.folder, self.config.model_dump_json())
        with restoring(self.workspace.folder):
            self.network.load_state_dict(tensors)
        self.network.eval()

    def describe(self) -> dict[str, object]:
        """Describe the settings of this fit and, once the network is built, its number of parameters."""
        described: dict[str, object] = {"config": self.config.model_dump(mode="json")}
        if "network" in self.__dict__:
            described["parameters"] = sum(parameter.numel() for parameter in self.network.parameters())
        return described
