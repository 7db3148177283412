"""Rerender-A-Video as a method: it edits the recorded clip by the style's target caption or instruction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from baselines.clip_sizes import clip_px
from baselines.rerender.config import PAPER_CONTROLNET, PAPER_MODEL, PORTRAITS_CONTROLNET, PROFILES, RerenderConfig
from emo_bench import assets
from emo_bench.assets.checksums import digest
from emo_bench.errors import UserError, shortened
from emo_bench.files import remove_tree
from emo_bench.methods.diffusion_pipelines import controlnet_folder, pipeline_sha256, required_pipeline
from emo_bench.methods.frame_sizes import resized_frames
from emo_bench.methods.interface import PAPER_PROFILE, Clip, EditStyle, MethodInfo, VideoEditor, Workspace
from emo_bench.methods.kept_frames import edit_in_batches
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL, suited_settings
from emo_bench.methods.settings import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from baselines.diffusion.networks import Networks
    from baselines.rerender.guidance import Guidance

FOLDER = "rerender"
CONTROLNET_FILES = ("config.json", "diffusion_pytorch_model*.*")
# Without ControlNet and source channels, the noisy frame alone keeps the structure.
NOISE_STRENGTH = 0.75

CONFIG_BYTES = 1_000_000

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
        self._control = _controlnet(config, self._weights)
        self._structure = config.structure or self._first_structure()
        if self._structure == "source" and not _source_channels(self._weights):
            raise UserError(
                f"rerender: --set structure=source: the network of {config.model} does not see a source picture; "
                "take structure=controlnet or structure=noise"
            )
        suited = suited_settings(config.model)
        self._size_px = config.size_px or suited.size_px
        self._text_scale = suited.text_scale if config.text_scale is None else config.text_scale
        self._source_scale = suited.image_scale if config.source_scale is None else config.source_scale
        self._strength = config.strength or (NOISE_STRENGTH if self._structure == "noise" else 1.0)

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
        from baselines.diffusion.networks import load_networks
        from baselines.rerender.between import Side, frames_between
        from baselines.rerender.flow import open_flow
        from baselines.rerender.key_frames import key_positions, painted_key_frames

        config, device, folder = self._config, self.workspace.device, self.workspace.folder / FOLDER
        networks, finder = load_networks(self._weights, device), open_flow(device)
        log.info("rerender: structure by %s, flow by %s", self._structure, finder.name)
        recorded = resized_frames(clip.frames, self._size_px)
        keys = key_positions(len(recorded), config.interval)
        guidance = self._guidance(networks, style)
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
            "structure": self._structure,
            "strength": self._strength,
            "text_scale": self._text_scale,
            "flow": "DIS" if flow is None else "RAFT",
        }
        used = {config["model"]: pipeline_sha256(self._weights)}
        if flow is not None:
            used["raft-large"] = flow.sha256
        if self._structure == "controlnet":
            assert self._control is not None
            config["controlnet"] = self._control.name
            used[self._control.name] = digest(self._control, CONTROLNET_FILES)
        if self._structure == "source":
            config["source_scale"] = self._source_scale
        return {"config": config, "assets": used, "flags": self._flags(config)}

    def _first_structure(self) -> str:
        if self._control is not None:
            return "controlnet"
        return "source" if _source_channels(self._weights) else "noise"

    def _guidance(self, networks: Networks, style: EditStyle) -> Guidance:
        from baselines.rerender.guidance import Guidance, load_control

        # Only a network that sees the frame was trained on instructions.
        instructed = self._structure == "source" and style.instruction
        control = None
        if self._structure == "controlnet":
            assert self._control is not None
            control = load_control(self._control, self.workspace.device)
        config = self._config
        return Guidance(
            self._structure,
            style.instruction if instructed else style.target_caption,
            config.negative_text,
            self._text_scale,
            self._source_scale,
            config.guidance_rescale,
            control,
            config.control_scale,
            (config.edges_low, config.edges_high),
        )

    def _flags(self, config: dict[str, Any]) -> list[str]:
        flags = [f"Rerender-A-Video finds flow with {config['flow']}; the paper has GMFlow"]
        if config["model"] != PAPER_MODEL:
            flags.append(
                f"Rerender-A-Video edits with the weights {config['model']} at {self._size_px} px; "
                "the paper has Stable Diffusion 1.5"
            )
        if self._structure != "controlnet":
            seen = "the recorded frame" if self._structure == "source" else "nothing but the noisy frame"
            flags.append(f"Rerender-A-Video sees {seen}; the paper has a ControlNet")
        return flags


def _controlnet(config: RerenderConfig, pipeline: Path) -> Path | None:
    """Return the folder of the ControlNet, or None if there is none here and the settings do not demand it.

    Raises:
        UserError: the settings demand one that is not on this machine.
    """
    usual = PORTRAITS_CONTROLNET if Path(config.model).name == PORTRAITS_MODEL else PAPER_CONTROLNET
    name = config.controlnet or usual
    found = controlnet_folder(name, pipeline)
    if found is not None or (config.controlnet is None and config.structure != "controlnet"):
        return found
    known = next((asset for asset in assets.list_assets() if asset.name == name), None)
    remedy = f"run: {known.remedy()}, or " if known else ""
    raise UserError(
        f"rerender needs the diffusers folder of the ControlNet {shortened(name)}: {remedy}put it into a folder of "
        "EMO_BENCH_ASSETS, or name it as --set controlnet="
    )


def _source_channels(pipeline: Path) -> bool:
    """Return whether a pipeline's U-Net sees the latents of a source picture, by its configuration."""
    from emo_bench.untrusted.plain_json import read_json

    try:
        unet, vae = (read_json(pipeline / part / "config.json", CONFIG_BYTES) for part in ("unet", "vae"))
        return bool(unet["in_channels"] == 2 * vae["latent_channels"])
    except (OSError, KeyError, TypeError):
        # Loading the networks says what is wrong with the folder.
        return False
