"""Motion flow: the expressions around a frame deform the neural texture (paper 3.2.2)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.skip_fusion import zero_conv


def expression_windows(expression: Tensor, window: int) -> Tensor:
    """Stack each frame's neighbours; before the first and after the last frame, these two are repeated.

    Args:
        expression: ``[T, E]``.
        window: an odd number of frames, the current one in the middle.

    Returns:
        ``[T, window * E]``, from the earliest frame to the latest.
    """
    reach = window // 2
    padded = torch.cat((expression[:1].expand(reach, -1), expression, expression[-1:].expand(reach, -1)))
    return torch.cat([padded[k : k + len(expression)] for k in range(window)], dim=1)


class AdaIN(nn.Module):
    """Adaptive instance normalisation by a motion vector; untrained it is plain instance normalisation.

    The paper calls the divisor a variance; here it is the standard deviation, as in Huang and Belongie.
    """

    def __init__(self, channels: int, motion_width: int) -> None:
        super().__init__()
        self.affine = nn.Linear(motion_width, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, motion: Tensor) -> Tensor:
        """Normalise ``x [B, C, H, W]`` and scale and shift it by ``motion [B, M]``."""
        scale, shift = self.affine(motion)[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x, eps=1e-5) * (1.0 + scale) + shift


class MotionFlow(nn.Module):
    """Three-layer MLP over the expression window, and an autoencoder of five plus five layers over the texture.

    Args:
        expression_width: length of one window vector.
        texture_channels: channels of the texture that is deformed.
        motion_width: width of the motion vector.
        widths: channels of the encoder's layers, finest first.
        max_displacement: the greatest flow, as a share of the texture's side.
        with_residual: also predict a correction of the texture's features.
    """

    def __init__(
        self,
        expression_width: int,
        texture_channels: int,
        motion_width: int,
        widths: tuple[int, ...],
        max_displacement: float,
        with_residual: bool,
    ) -> None:
        super().__init__()
        self.max_displacement = max_displacement
        self.motion = nn.Sequential(
            nn.Linear(expression_width, motion_width),
            nn.LeakyReLU(0.2),
            nn.Linear(motion_width, motion_width),
            nn.LeakyReLU(0.2),
            nn.Linear(motion_width, motion_width),
        )
        downs = list(pairwise((texture_channels, *widths)))
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in downs)
        self.down_norm = nn.ModuleList(AdaIN(o, motion_width) for _, o in downs)
        outs = [*reversed(widths[:-1]), max(widths[0] // 2, 8)]
        ins = [widths[-1]] + [2 * width for width in outs[:-1]]
        self.up = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in zip(ins, outs, strict=True))
        self.up_norm = nn.ModuleList(AdaIN(o, motion_width) for o in outs)
        self.head = zero_conv(outs[-1], 2 + (texture_channels if with_residual else 0))

    def forward(self, texture: Tensor, expressions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Predict the motion of the texture.

        Args:
            texture: ``[1, C, S, S]``, the level-summed texture at the autoencoder's size.
            expressions: ``[B, window * E]``.

        Returns:
            The flow ``[B, 2, S, S]`` in units of the texture's side, and the residual ``[B, C, S, S]`` or None.
        """
        motion = F.leaky_relu(self.motion(expressions), 0.2)
        x = texture
        skips: list[Tensor] = []
        for conv, norm in zip(self.down, self.down_norm, strict=True):
            x = F.leaky_relu(norm(conv(x).expand(len(motion), -1, -1, -1), motion), 0.2)
            skips.append(x)
        skips.pop()
        for conv, norm in zip(self.up, self.up_norm, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.leaky_relu(norm(conv(x), motion), 0.2)
            if skips:
                x = torch.cat((x, skips.pop()), dim=1)
        out = self.head(x).float()
        flow = self.max_displacement * torch.tanh(out[:, :2])
        return flow, out[:, 2:] if out.shape[1] > 2 else None


def total_variation(flow: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring flow vectors, a scalar."""
    return (flow[..., 1:, :] - flow[..., :-1, :]).abs().mean() + (flow[..., 1:] - flow[..., :-1]).abs().mean()
