"""The avatar: textures warped by UV, fused with the first StyleUNet's features, decoded by the second."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.style_avatar.config import StyleAvatarConfig
from baselines.style_avatar.networks import BANDS, FeatureGenerator, Mapping, StyleUNet, sampled, time_code
from baselines.style_avatar.wavelet import haar, inverse_haar

# The background extends beyond the frame by this share of its side, on each side.
MARGIN_SHARE = 0.25


@dataclass(frozen=True)
class DrivingBatch:
    """The driving signals of B frames; F is the side of the features.

    Attributes:
        rendering: ``[B, 3, I, I]`` in [-1, 1].
        uv: ``[B, F, F, 2]`` in [0, 1].
        surface: ``[B, 1, F, F]``, 1 where ``uv`` is defined.
        time: ``[B]`` frame numbers of the time code.
        shift: ``[B, 2]`` shift of the window from the frame, right and down, as shares of the frame's side.
    """

    rendering: Tensor
    uv: Tensor
    surface: Tensor
    time: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Textures:
    """The neural textures: ``face [1, C, T, T]`` and ``background [1, C, T, T]``, the latter with a margin."""

    face: Tensor
    background: Tensor


class StyleAvatarModel(nn.Module):
    """Two texture generators and two StyleUNets.

    Args:
        config: sizes and widths.
    """

    def __init__(self, config: StyleAvatarConfig) -> None:
        super().__init__()
        self.config = config
        width, style, layers = config.feature_channels, config.style_dim, config.mapping_layers
        self.face = FeatureGenerator(config.texture_px, width, style, layers)
        self.background = FeatureGenerator(config.background_px, width, style, layers)
        self.mapping = Mapping(style, layers)
        side, inner = config.feature_px, config.channels(config.feature_px)
        self.first = StyleUNet(BANDS, side, side, config.channels, style, pictures=False)
        self.to_features = nn.Conv2d(inner, width, 1)
        self.to_mask = nn.Conv2d(inner, 1, 1)
        self.second = StyleUNet(width, side, config.wavelet_px, config.channels, style, pictures=True)

    def textures(self) -> Textures:
        """Compute the textures, which depend only on the weights."""
        return Textures(self.face(), self.background())

    def forward(self, batch: DrivingBatch, textures: Textures) -> tuple[Tensor, Tensor]:
        """Return pictures ``[B, 3, R, R]`` in about [-1, 1] and the opacity ``[B, 1, F, F]`` in [0, 1], float32."""
        config = self.config
        code = time_code(batch.time, config.time_span_frames, config.style_dim)
        if config.time_code == "off":
            code = torch.ones_like(code)
        style = self.mapping(code)
        bands = haar(batch.rendering).contiguous(memory_format=torch.channels_last)
        inner, _ = self.first(bands, style)
        opacity = 0.5 + 0.5 * torch.tanh(self.to_mask(inner).float())
        face = sampled(textures.face, batch.uv * 2.0 - 1.0, config.warp) * batch.surface
        behind = sampled(textures.background, self._background_grid(batch.shift), "bilinear")
        fused = opacity * (self.to_features(inner).float() + face) + (1.0 - opacity) * behind
        _, wavelets = self.second(fused.contiguous(memory_format=torch.channels_last), style)
        assert wavelets is not None
        return inverse_haar(wavelets.float()), opacity

    def _background_grid(self, shift: Tensor) -> Tensor:
        side = self.config.feature_px
        places = (torch.arange(side, device=shift.device, dtype=torch.float32) + 0.5) / side - 0.5
        rows, columns = torch.meshgrid(places, places, indexing="ij")
        grid = torch.stack((columns, rows), dim=-1)[None] + shift[:, None, None]
        return grid / (0.5 + MARGIN_SHARE)
