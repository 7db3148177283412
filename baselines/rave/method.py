"""RAVE as a method: it edits the recorded clip by the style's target caption or instruction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from baselines.clip_sizes import clip_px
from baselines.diffusion.structure import PAPER_CONTROLNET, choose_structure
from baselines.rave.config import PAPER_MODEL, PROFILES, RaveConfig
from emo_bench.files import remove_tree
from emo_bench.methods.diffusion_memory import chosen_memory
from emo_bench.methods.diffusion_pipelines import other_weights, pipeline_sha256, required_pipeline
from emo_bench.methods.frame_sizes import resized_frames
from emo_bench.methods.interface import PAPER_PROFILE, Clip, EditStyle, MethodInfo, VideoEditor, Workspace
from emo_bench.methods.settings import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "rave"

log = logging.getLogger("emo_bench")


class Rave(VideoEditor):
    """The clip is inverted, and grids of its frames, shuffled before each step, are edited as one picture each."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="rave",
        title="RAVE",
        paper="RAVE: Randomized Noise Shuffling for Fast and Consistent Video Editing with Diffusion Models, "
        "Kara et al., CVPR 2024",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=("emo-bench[diffusion]",),
        fidelity="the paper's algorithm; a ControlNet of edges, or what the bundled network sees, instead of depth",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        chosen = {"resolution_px": clip_px(workspace), **PROFILES[workspace.profile]}
        config = resolve(RaveConfig, chosen, workspace.settings, name=self.info.name)
        self._config, self.resolution_px = config, config.resolution_px
        self._weights = required_pipeline(self.info.name, config.model)
        self._memory = chosen_memory(config.memory, workspace.device, self._weights)
        self._structure = choose_structure(self.info.name, config, self._weights)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; ``paper`` needs Stable Diffusion and its ControlNet, the others take what is here."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of profile ``paper``; the others take what is here."""
        return (PAPER_MODEL, PAPER_CONTROLNET) if profile == PAPER_PROFILE else ()

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield the edited frames; what is finished is kept in ``rave/`` until the last frame was taken."""
        from baselines.diffusion.guided_network import GuidedNetwork, open_guidance
        from baselines.diffusion.networks import load_networks
        from baselines.rave.editing import edited_latents

        config, device, folder = self._config, self.workspace.device, self.workspace.folder / FOLDER
        networks = load_networks(self._weights, device, self._memory)
        log.info("rave: structure by %s", self._structure.kind)
        predict = GuidedNetwork(networks, open_guidance(self._structure, config, style, networks, self._memory))
        frames = resized_frames(clip.frames, config.network_px)
        edited = edited_latents(predict, frames, config, self.workspace.seed, folder)
        for picture in networks.decoded(edited, config.batch * config.grid_side**2):
            yield resized_frames(picture[None], self.resolution_px)[0]
        remove_tree(folder)

    def describe(self) -> dict[str, object]:
        """Return the resolved settings, the weights, and in which ways they are not those of the paper."""
        name = Path(self._config.model).name
        config: dict[str, Any] = {
            **self._config.model_dump(mode="json"),
            "model": name,
            "size_px": self._config.network_px,
            **self._structure.described(),
        }
        used = {name: pipeline_sha256(self._weights), **self._structure.weights()}
        return {"config": config, "assets": used, "memory": self._memory, "flags": self._flags(name)}

    def _flags(self, model: str) -> list[str]:
        flags = self._structure.flags(self.info.title)
        if model != PAPER_MODEL:
            flags.append(other_weights(self.info.title, model, self._config.network_px, "Stable Diffusion 1.5"))
        return flags
