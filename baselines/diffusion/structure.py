"""What keeps the structure of the recorded frames in an edit: a ControlNet, source channels, or the noisy start alone.

A ControlNet sees the edges of a frame. A network with source channels (InstructPix2Pix) sees the frame itself and reads
the instruction. Any other network gets nothing but noisy latents that come from the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from emo_bench import assets
from emo_bench.assets.checksums import digest
from emo_bench.errors import UserError, shortened
from emo_bench.methods.diffusion_pipelines import controlnet_folder
from emo_bench.methods.interface import EditStyle
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL, suited_settings
from emo_bench.untrusted.plain_json import read_json

Kind = Literal["controlnet", "source", "noise"]
CONTROLNET: Kind = "controlnet"
SOURCE: Kind = "source"
NOISE: Kind = "noise"

# The ControlNets of Canny's edges, for Stable Diffusion 1.5 and for the bundled network.
PAPER_CONTROLNET, PORTRAITS_CONTROLNET = "controlnet-canny", "portraits-controlnet-canny"
CONTROLNET_FILES = ("config.json", "diffusion_pytorch_model*.*")
CONFIG_BYTES = 1_000_000


class StructureSettings(Protocol):
    """The settings of an editor that decide on the structure; None takes what is here or what suits the model."""

    @property
    def model(self) -> str:
        """Name or folder of the pipeline."""

    @property
    def structure(self) -> Kind | None:
        """What keeps the structure; None: the first of the three that is here."""

    @property
    def controlnet(self) -> str | None:
        """Name or folder of the ControlNet."""

    @property
    def text_scale(self) -> float | None:
        """Weight of the text."""

    @property
    def source_scale(self) -> float | None:
        """Weight of the recorded frame, with source channels."""


@dataclass(frozen=True)
class Structure:
    """What keeps the structure, and the weights of text and recorded frame that go with it.

    Attributes:
        kind: one of the three.
        control: folder of the ControlNet; None for the other kinds.
        text_scale: weight of the text.
        source_scale: weight of the recorded frame, used with ``source`` alone.
    """

    kind: Kind
    control: Path | None
    text_scale: float
    source_scale: float

    def text_of(self, style: EditStyle) -> str:
        """Return what the network reads: only one that sees the frame was trained on instructions."""
        return style.instruction if self.kind == SOURCE and style.instruction else style.target_caption

    def described(self) -> dict[str, Any]:
        """Return the entries of ``describe()["config"]``."""
        entries: dict[str, Any] = {"structure": self.kind, "text_scale": self.text_scale}
        if self.control is not None:
            entries["controlnet"] = self.control.name
        if self.kind == SOURCE:
            entries["source_scale"] = self.source_scale
        return entries

    def weights(self) -> dict[str, str]:
        """Return the SHA-256 of the ControlNet by its name."""
        return {} if self.control is None else {self.control.name: digest(self.control, CONTROLNET_FILES)}

    def flags(self, title: str) -> list[str]:
        """Return what a reader of the scores must know; ``title`` names the method."""
        if self.kind == CONTROLNET:
            return []
        seen = "the recorded frame" if self.kind == SOURCE else "nothing but the noisy frame"
        return [f"{title} sees {seen}; the paper has a ControlNet"]


def choose_structure(method: str, settings: StructureSettings, pipeline: Path) -> Structure:
    """Return what keeps the structure: what the settings ask for, or the first of the three that is on this machine.

    A network that sees the recorded frame goes first, unless a ControlNet is named: the bundled one paints from text
    and edges much worse than it edits a frame.

    Args:
        method: the name of the method, for messages.
        settings: the settings.
        pipeline: the pipeline's folder.

    Raises:
        UserError: the settings ask for a ControlNet that is not here, or for a source that the network does not see.
    """
    control = _find_controlnet(method, settings, pipeline)
    kind = settings.structure
    if kind is None:
        named = settings.controlnet is not None
        kind = SOURCE if sees_source(pipeline) and not named else CONTROLNET if control is not None else NOISE
    if kind == SOURCE and not sees_source(pipeline):
        raise UserError(
            f"{method}: --set structure=source: the network of {settings.model} does not see a source picture; "
            "take structure=controlnet or structure=noise"
        )
    suited = suited_settings(settings.model)
    return Structure(
        kind,
        control if kind == CONTROLNET else None,
        suited.text_scale if settings.text_scale is None else settings.text_scale,
        suited.image_scale if settings.source_scale is None else settings.source_scale,
    )


def sees_source(pipeline: Path) -> bool:
    """Return whether a pipeline's U-Net sees the latents of a source picture, by its configuration."""
    try:
        unet, vae = (read_json(pipeline / part / "config.json", CONFIG_BYTES) for part in ("unet", "vae"))
        return bool(unet["in_channels"] == 2 * vae["latent_channels"])
    except (OSError, KeyError, TypeError):
        # Loading the networks says what is wrong with the folder.
        return False


def _find_controlnet(method: str, settings: StructureSettings, pipeline: Path) -> Path | None:
    """Return the folder of the ControlNet, or None if there is none here and the settings do not demand it."""
    usual = PORTRAITS_CONTROLNET if Path(settings.model).name == PORTRAITS_MODEL else PAPER_CONTROLNET
    name = settings.controlnet or usual
    found = controlnet_folder(name, pipeline)
    if found is not None or (settings.controlnet is None and settings.structure != CONTROLNET):
        return found
    known = next((asset for asset in assets.list_assets() if asset.name == name), None)
    remedy = f"run: {known.remedy()}, or " if known else ""
    raise UserError(
        f"{method} needs the diffusers folder of the ControlNet {shortened(name)}: {remedy}put it into a folder of "
        "EMO_BENCH_ASSETS, or name it as --set controlnet="
    )
