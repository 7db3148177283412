"""The avatar: deformed neural texture, encoder, and skip connections into a StyleGAN (paper figure 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.motion_flow import MotionFlow
from emo_avatar.neural_texture import NeuralTexture, sample_texture
from emo_avatar.skip_fusion import SkipFusion, TextureEncoder
from emo_avatar.stylegan2 import Generator


@dataclass(frozen=True)
class DrivingBatch:
    """The driving signals of B frames at R x R pixels.

    Attributes:
        expressions: ``[B, window * 52]``.
        uv: ``[B, R, R, 2]`` float32 in [0, 1].
        mask: ``[B, 1, R, R]`` float32, 1 where the UV map is defined.
        grid_affine: ``[B, 2, 3]``, from frame to aligned-head coordinates, both in [-1, 1].
        pivot_weights: ``[B, K]``, the share of each pivot code, rows sum to one.
    """

    expressions: Tensor
    uv: Tensor
    mask: Tensor
    grid_affine: Tensor
    pivot_weights: Tensor


@dataclass(frozen=True)
class Rendering:
    """Images ``[B, 3, R, R]`` in about [-1, 1], the RGB of the sampled texture in the same form, and the flow."""

    image: Tensor
    texture_rgb: Tensor
    flow: Tensor | None


@dataclass(frozen=True)
class Encoding:
    """The input of skip connections and StyleGAN for B frames.

    Attributes:
        features: the encoder's features by side in pixels.
        ws, grid_affine: latent codes and placement.
        uv, mask: as in :class:`DrivingBatch`.
    """

    features: dict[int, Tensor]
    ws: Tensor
    grid_affine: Tensor
    uv: Tensor
    mask: Tensor

    def rows(self, chosen: Tensor) -> Encoding:
        """Return some of the frames."""
        features = {side: maps[chosen] for side, maps in self.features.items()}
        parts = (part[chosen] for part in (self.ws, self.grid_affine, self.uv, self.mask))
        return Encoding(features, *parts)


class AvatarRenderer(nn.Module):
    """Renders frames from driving signals.

    Args:
        config: the method's configuration.
        generator: the StyleGAN2 tuned by few-shot PTI.
        pivots: its latent codes ``[K, num_ws, w_dim]``.
        plate: the static background ``[3, R, R]`` in [-1, 1]; unused if the config turns it off.
        expression_count: number of coefficients of one frame.
    """

    pivots: Tensor
    plate: Tensor

    def __init__(
        self, config: EmoAvatarConfig, generator: Generator, pivots: Tensor, plate: Tensor, expression_count: int = 52
    ) -> None:
        super().__init__()
        self.config = config
        self.generator = generator
        self.generator.requires_grad_(not config.freeze_stylegan)
        self.register_buffer("pivots", pivots.clone())
        self.register_buffer("plate", plate.clone())
        self.texture = NeuralTexture(config.texture_channels, config.texture_px, config.texture_levels)
        self.flow: MotionFlow | None = None
        if config.flow_mode != "none":
            self.flow = MotionFlow(
                config.expression_window * expression_count,
                config.texture_channels,
                config.motion_width,
                config.flow_widths,
                config.max_displacement,
                with_residual=config.flow_mode == "warp+residual",
            )
        in_channels = config.texture_channels + 1 + (3 if config.background_plate else 0)
        self.encoder = TextureEncoder(
            in_channels,
            config.resolution_px,
            min(config.skip_resolutions),
            config.encoder_width,
            config.encoder_max_width,
            config.encoder_context,
        )
        widths = {r: generator.config.channels(r) for r in config.skip_resolutions}
        self.fusion = SkipFusion(self.encoder.widths, widths, config.skip_resolutions, config.placement)

    def sample(self, batch: DrivingBatch) -> tuple[Tensor, Tensor | None]:
        """Sample the motion-deformed texture; return ``F_t [B, C, R, R]`` (masked) and the flow over the texture."""
        texture = self.texture.compose()
        uv, flow, residual = batch.uv, None, None
        if self.flow is not None:
            small = F.interpolate(texture, size=(self.config.flow_px,) * 2, mode="area")
            flow, residual = self.flow(small, batch.expressions)
            shift = sample_texture(flow, uv)
            uv = uv + shift.permute(0, 2, 3, 1)
        features = sample_texture(texture, uv)
        if residual is not None:
            features = features + sample_texture(residual, batch.uv)
        return features * batch.mask, flow

    def forward(self, batch: DrivingBatch) -> Rendering:
        """Render a batch."""
        encoding, sampled, flow = self.encode(batch)
        return Rendering(self.synthesise(encoding), sampled[:, :3], flow)

    def encode(self, batch: DrivingBatch) -> tuple[Encoding, Tensor, Tensor | None]:
        """Compute the input of the skip connections; also return the sampled texture ``[B, C, R, R]`` and the flow."""
        sampled, flow = self.sample(batch)
        inputs = [sampled, batch.mask]
        if self.config.background_plate:
            inputs.append(self.plate.expand(len(sampled), -1, -1, -1))
        features = self.encoder(torch.cat(inputs, dim=1))
        ws = torch.einsum("bk,kld->bld", batch.pivot_weights, self.pivots)
        return Encoding(features, ws, batch.grid_affine, batch.uv, batch.mask), sampled, flow

    def synthesise(self, encoding: Encoding) -> Tensor:
        """Run StyleGAN with the skip connections; return images ``[B, 3, R, R]`` in about [-1, 1]."""
        image, strokes = self.layers(encoding)
        return image if strokes is None else image + strokes

    def layers(self, encoding: Encoding) -> tuple[Tensor, Tensor | None]:
        """Return images without strokes and, if an edit has added them, the strokes, ``[B, 3, R, R]`` each."""

        def fuse(resolution: int, x: Tensor, rgb: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return self.fusion.apply_at(resolution, x, rgb, encoding.features, encoding.grid_affine)

        image = self.generator.synthesis(encoding.ws, noise_mode="const", fuse=fuse)
        strokes = self.fusion.strokes
        return image, None if strokes is None else strokes(encoding.uv, encoding.mask)
