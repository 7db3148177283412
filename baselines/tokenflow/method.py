"""TokenFlow as a method: it edits the recorded clip by the style's captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from baselines.clip_sizes import clip_px
from baselines.diffusion.structure import sees_source
from baselines.tokenflow.config import PAPER_MODEL, PROFILES, SEEING_GUIDANCE, TokenFlowConfig
from baselines.tokenflow.window import frames_that_fit
from emo_bench.errors import UserError
from emo_bench.files import remove_tree
from emo_bench.methods.diffusion_memory import chosen_memory, is_half
from emo_bench.methods.diffusion_pipelines import other_weights, pipeline_sha256, required_pipeline
from emo_bench.methods.frame_sizes import resized_frames
from emo_bench.methods.interface import PAPER_PROFILE, Clip, EditStyle, MethodInfo, VideoEditor, Workspace
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL
from emo_bench.methods.settings import resolve
from emo_bench.system.device_memory import memory_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "tokenflow"


class TokenFlow(VideoEditor):
    """The clip is inverted, key frames are edited together, and their tokens flow to the frames between them."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="tokenflow",
        title="TokenFlow",
        paper="TokenFlow: Consistent Diffusion Features for Consistent Video Editing, Geyer et al., ICLR 2024",
        licence="Apache-2.0",
        capabilities=frozenset({"edit"}),
        requirements=("emo-bench[diffusion]",),
        fidelity="the paper's algorithm with plug-and-play injection; no frame is dropped, as the release does",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        chosen = {"resolution_px": clip_px(workspace), **PROFILES[workspace.profile]}
        config = resolve(TokenFlowConfig, chosen, workspace.settings, name=self.info.name)
        self.resolution_px = config.resolution_px
        self._weights = required_pipeline(self.info.name, config.model)
        # The bundled network paints a blurred face without a source.
        source = config.source or ("clip" if sees_source(self._weights) else "dropped")
        bundled = source == "clip" and Path(config.model).name == PORTRAITS_MODEL
        given = "guidance_scale" in workspace.settings or workspace.profile == PAPER_PROFILE
        guidance = SEEING_GUIDANCE if bundled and not given else config.guidance_scale
        self._config = config.model_copy(update={"source": source, "guidance_scale": guidance})
        self._memory = chosen_memory(self._config.memory, workspace.device, self._weights)
        self.window_frames = self._config.window or frames_that_fit(
            self._weights,
            self._config.network_px,
            self._config.batch,
            half=is_half(self._memory, workspace.device),
            memory_bytes=memory_bytes(workspace.device),
        )

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the profiles; ``paper`` needs Stable Diffusion, and the others take this project's small network."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of profile ``paper``; the others take what is here."""
        return (PAPER_MODEL,) if profile == PAPER_PROFILE else ()

    def edit(self, clip: Clip, style: EditStyle) -> Iterator[NDArray[np.uint8]]:
        """Yield the edited frames; what is finished is kept in ``tokenflow/`` until the last frame was taken."""
        from baselines.diffusion.networks import load_networks
        from baselines.tokenflow.editing import Captions, edited_latents

        config, folder = self._config, self.workspace.folder / FOLDER
        networks = load_networks(self._weights, self.workspace.device, self._memory)
        if config.source == "clip" and not networks.takes_pictures:
            raise UserError(f"tokenflow: --set source=clip: the network of {config.model} takes no source picture")
        latents = networks.encoded(resized_frames(clip.frames, config.network_px), config.batch)
        captions = Captions(style.source_caption, style.target_caption)
        edited = edited_latents(networks, latents, captions, config, self.workspace.seed, folder)
        for picture in networks.decoded(edited, config.batch):
            yield resized_frames(picture[None], self.resolution_px)[0]
        remove_tree(folder)

    def describe(self) -> dict[str, object]:
        """Return the resolved settings and the weights."""
        name = Path(self._config.model).name
        flags = []
        if self._config.source == "clip":
            flags.append(f"{self.info.title} sees the recorded frame; the paper's network reads the captions alone")
        if name != PAPER_MODEL:
            flags.append(other_weights(self.info.title, name, self._config.network_px, "Stable Diffusion"))
        return {
            "config": {**self._config.model_dump(mode="json"), "model": name, "size_px": self._config.network_px},
            "assets": {name: pipeline_sha256(self._weights)},
            "memory": self._memory,
            "flags": flags,
        }
