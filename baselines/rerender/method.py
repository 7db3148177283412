"""Rerender-A-Video as a method: it edits the recorded clip by the style's target caption or instruction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from baselines.clip_sizes import clip_px
from baselines.diffusion.structure import NOISE, PAPER_CONTROLNET, choose_structure
from baselines.rerender.config import PAPER_MODEL, PROFILES, RerenderConfig
from emo_bench import assets
from emo_bench.files import remove_tree
from emo_bench.methods.diffusion_memory import chosen_memory
from emo_bench.methods.diffusion_pipelines import other_weights, pipeline_sha256, required_pipeline
from emo_bench.methods.frame_sizes import resized_frames
from emo_bench.methods.interface import PAPER_PROFILE, Clip, EditStyle, MethodInfo, VideoEditor, Workspace
from emo_bench.methods.kept_frames import edit_in_batches
from emo_bench.methods.pix2pix_models import suited_settings
from emo_bench.methods.settings import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "rerender"
# Without ControlNet and source channels, the noisy frame alone keeps the structure.
NOISE_STRENGTH = 0.75

log = logging.getLogger("emo_bench")


class Rerender(VideoEditor):
    """Key frames are painted with a view to those before them, and the frames between are made of both neighbours."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="rerender",
        title="Rerender-A-Video",
        paper="Rerender A Video: Zero-Shot Text-Guided Video-to-Video Translation, Yang et al., SIGGRAPH Asia 2023",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=("emo-bench[diffusion]",),
        fidelity="the paper's key frames, with another flow; between them patches along the flow instead of EbSynth",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        chosen = {"resolution_px": clip_px(workspace), **PROFILES[workspace.profile]}
        config = resolve(RerenderConfig, chosen, workspace.settings, name=self.info.name)
        self._config, self.resolution_px = config, config.resolution_px
        self._weights = required_pipeline(self.info.name, config.model)
        self._memory = chosen_memory(config.memory, workspace.device, self._weights)
        self._structure = choose_structure(self.info.name, config, self._weights)
        self._size_px = config.size_px or suited_settings(config.model).size_px
        self._strength = config.strength or (NOISE_STRENGTH if self._structure.kind == NOISE else 1.0)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; ``paper`` needs Stable Diffusion and its ControlNet, the others take what is here."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of profile ``paper``; the others take what is here."""
        return (PAPER_MODEL, PAPER_CONTROLNET) if profile == PAPER_PROFILE else ()

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield the edited frames; key frames are kept in ``rerender/`` until the last frame was taken."""
        from baselines.diffusion.guided_network import open_guidance
        from baselines.diffusion.networks import load_networks
        from baselines.rerender.between import Side, frames_between
        from baselines.rerender.flow import open_flow
        from baselines.rerender.key_frames import key_positions, painted_key_frames

        config, device, folder = self._config, self.workspace.device, self.workspace.folder / FOLDER
        networks, finder = load_networks(self._weights, device, self._memory), open_flow(device)
        log.info("rerender: structure by %s, flow by %s", self._structure.kind, finder.name)
        recorded = resized_frames(clip.frames, self._size_px)
        keys = key_positions(len(recorded), config.interval)
        guidance = open_guidance(self._structure, config, style, networks, self._memory)
        edited = painted_key_frames(
            networks, recorded[keys], guidance, finder, config, self._strength, self.workspace.seed, folder
        )
        sides = {at: Side(recorded[at], picture) for at, picture in zip(keys, edited, strict=True)}

        def from_key_frame(frames: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
            import numpy as np

            made = [sides[first].edited]
            last = min(first + config.interval, len(recorded) - 1)
            if last > first:
                inner = recorded[first + 1 : last]
                made += frames_between(
                    inner, sides[first], sides[last], finder, config.patch_rounds, self.workspace.seed
                )
            if len(made) < len(frames):
                made.append(sides[last].edited)
            return resized_frames(np.stack(made), self.resolution_px)

        yield from edit_in_batches(clip.frames, from_key_frame, self.workspace.folder, config.interval)
        remove_tree(folder)

    def describe(self) -> dict[str, object]:
        """Return the resolved settings, the weights, and in which ways they are not those of the paper."""
        flow = assets.locate("raft-large")
        config: dict[str, Any] = {
            **self._config.model_dump(mode="json"),
            "model": Path(self._config.model).name,
            "size_px": self._size_px,
            "strength": self._strength,
            "flow": "DIS" if flow is None else "RAFT",
            **self._structure.described(),
        }
        used = {config["model"]: pipeline_sha256(self._weights), **self._structure.weights()}
        if flow is not None:
            used["raft-large"] = flow.sha256
        return {"config": config, "assets": used, "memory": self._memory, "flags": self._flags(config)}

    def _flags(self, config: dict[str, Any]) -> list[str]:
        flags = [f"Rerender-A-Video finds flow with {config['flow']}; the paper has GMFlow"]
        if config["model"] != PAPER_MODEL:
            flags.append(other_weights(self.info.title, config["model"], self._size_px, "Stable Diffusion 1.5"))
        return flags + self._structure.flags(self.info.title)
