"""The networks of a Stable-Diffusion-like pipeline, from its folder: text to latents to pictures.

The U-Net takes the noisy latents, or these and the latents of a source picture (InstructPix2Pix). The second kind was
trained with the source dropped too; then its channels are zero, and it is a text-to-image network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.ddim import require_kind
from emo_bench.errors import UserError
from emo_bench.methods.diffusion_memory import Memory, is_half, is_offloaded, save_decoding_memory
from emo_bench.methods.diffusion_pipelines import loading_quietly, number_places

if TYPE_CHECKING:
    from baselines.diffusion.gpu_turns import GpuTurns

Control = Callable[[Tensor, int, Tensor], tuple[list[Tensor], Tensor]]
"""What a ControlNet adds to the U-Net, from the U-Net's own input, timestep and text: to its encoder and its middle."""


@dataclass(frozen=True)
class Networks:
    """The parts of a pipeline, as diffusers and transformers load them; latents outside of them are float32."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    turns: GpuTurns | None = None

    @property
    def device(self) -> torch.device:
        """The device on which the networks compute."""
        return next(self.unet.parameters()).device if self.turns is None else self.turns.device

    @property
    def prediction(self) -> str:
        """What the U-Net predicts: ``epsilon`` or ``v_prediction``."""
        return require_kind(self.scheduler.config.prediction_type)

    @torch.no_grad()
    def embedded(self, text: str) -> Tensor:
        """Return the text as the U-Net reads it, ``[1, L, C]``."""
        found = self.tokenizer(
            text, padding="max_length", max_length=self.tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        return self.text_encoder(found.input_ids.to(self.device))[0]

    @torch.no_grad()
    def predicted(
        self,
        latents: Tensor,
        timestep: int,
        text: Tensor,
        pictures: Tensor | None = None,
        control: Control | None = None,
    ) -> Tensor:
        """Return the U-Net's prediction.

        Args:
            latents: float32 ``[B, c, h, w]``.
            timestep: the timestep of the noise level.
            text: ``[B, L, C]`` or ``[1, L, C]``.
            pictures: the latents of source pictures, as :meth:`encoded` gives them; None drops the source.
            control: a ControlNet with its picture, or None.

        Returns:
            float32 ``[B, c, h, w]``.
        """
        if pictures is None:
            source_channels = self.unet.config.in_channels - latents.shape[1]
            source = latents.new_zeros(len(latents), source_channels, *latents.shape[2:])
        else:
            # The pipeline does not scale the latents of the source.
            source = self._unscaled(pictures)
        seen = torch.cat([latents, source], 1).to(self.unet.dtype)
        text = text.expand(len(latents), -1, -1).to(self.unet.dtype)
        if control is None:
            return self.unet(seen, timestep, encoder_hidden_states=text).sample.float()
        encoder, middle = control(seen, timestep, text)
        added = {"down_block_additional_residuals": encoder, "mid_block_additional_residual": middle}
        return self.unet(seen, timestep, encoder_hidden_states=text, **added).sample.float()

    def encoded(self, frames_u8: NDArray[np.uint8], batch: int) -> Tensor:
        """Return the latents of ``uint8 [N, S, S, 3]``, float32 ``[N, c, h, w]``, the most probable ones."""
        made = []
        for rows in batches(len(frames_u8), batch):
            pixels = torch.tensor(frames_u8[rows]).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
            made.append(self.encoded_pixels(pixels))
        return torch.cat(made)

    def decoded(self, latents: Tensor, batch: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the picture ``uint8 [S, S, 3]`` of each of the latents ``[N, c, h, w]``."""
        for rows in batches(len(latents), batch):
            pictures = ((self.decoded_pixels(latents[rows]) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
            yield from pictures.permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def encoded_pixels(self, pixels: Tensor) -> Tensor:
        """Return the most probable latents of float32 ``[N, 3, S, S]`` in [-1, 1], float32 ``[N, c, h, w]``."""
        latents = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode().float()
        return (latents - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decoded_pixels(self, latents: Tensor) -> Tensor:
        """Return float32 ``[N, 3, S, S]``, about in [-1, 1], from latents ``[N, c, h, w]``."""
        return self.vae.decode(self._unscaled(latents).to(self.vae.dtype)).sample.float()

    @property
    def takes_pictures(self) -> bool:
        """Whether the U-Net takes a source picture."""
        return bool(self.unet.config.in_channels > self.unet.config.out_channels)

    def _unscaled(self, latents: Tensor) -> Tensor:
        return latents / self.vae.config.scaling_factor + self._shift

    @property
    def _shift(self) -> float:
        return self.vae.config.get("shift_factor") or 0.0


def load_networks(folder: Path, device: str, memory: Memory = "full") -> Networks:
    """Load the networks of a pipeline from its folder; nothing is downloaded.

    Half precision is float16, because bfloat16 is too coarse for a step backwards.

    Raises:
        UserError: diffusers is not installed, the folder holds no such pipeline, or its U-Net takes other channels than
            noisy latents and those of a source, or predicts something else than noise or v.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise UserError("needs diffusers and transformers; run: pip install 'emo-bench[diffusion]'") from error
    parts = {
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
        "text_encoder": transformers.CLIPTextModel,
        "tokenizer": transformers.CLIPTokenizer,
        "scheduler": diffusers.DDIMScheduler,
    }
    loaded: dict[str, Any] = {}
    for name, kind in parts.items():
        try:
            has_weights = name not in {"tokenizer", "scheduler"}
            loaded[name] = load_part(kind, folder / name, device if has_weights else None, memory)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} is no pipeline of Stable Diffusion: {name}: {_first_line(error)}") from error
    for name in ("unet", "vae"):
        loaded[name].to(memory_format=torch.channels_last)
    save_decoding_memory(loaded["vae"], memory)
    turns = None
    if is_offloaded(memory):
        from baselines.diffusion.gpu_turns import GpuTurns

        turns = GpuTurns(device, [[loaded["text_encoder"]], [loaded["unet"]], [loaded["vae"]]])
    networks = Networks(**loaded, turns=turns)
    require_kind(networks.scheduler.config.prediction_type)
    taken, latent = networks.unet.config.in_channels, networks.vae.config.latent_channels
    if taken not in {latent, 2 * latent}:
        raise UserError(
            f"the U-Net in {folder} takes {taken} channels: it must take {latent} (text to image) or {2 * latent} "
            "(with a source picture)"
        )
    return networks


def load_part(kind: Any, folder: Path, device: str | None, memory: Memory = "full") -> Any:
    """Load a part of a pipeline, ready to compute; ``device`` is None for a part without weights.

    A part that takes turns on the GPU stays in main memory.

    Raises:
        OSError, ValueError: the folder holds no such part.
    """
    with loading_quietly():
        if device is None:
            # Such a part would keep the type as an unknown setting.
            return kind.from_pretrained(str(folder), local_files_only=True)
        dtype = torch.float16 if is_half(memory, device) else torch.float32
        part = kind.from_pretrained(str(folder), local_files_only=True, torch_dtype=dtype)
    number_places(part)
    return part.to("cpu" if is_offloaded(memory) else device).requires_grad_(False).eval()


def batches(count: int, size: int) -> list[slice]:
    """Return the slices of ``count`` frames, ``size`` each; the last one has the remainder."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
