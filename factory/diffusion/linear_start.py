"""Start networks as linear ones: an autoencoder that keeps the colours of blocks, a UNet that keeps the source.

From a random start, a small network takes a thousand steps to learn that colours and contrasts are to be kept, because
its group norms remove them. Here they pass from the first step on, and the training adds detail and change.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CARRIERS = 8
"""Channels that carry the picture through both networks: R, G, B, a constant, -R, -G, -B, a constant."""
CONSTANT = 6.0
"""Its size: so large that group norms hardly depend on the picture."""
COLOURS = (0, 1, 2)
FIXED = (3, 7)


@torch.no_grad()
def start_linear(vae: Any) -> None:
    """Set weights so that latents 0 to 2 are the mean colours of blocks, and decoding gives each block its colour.

    Residual branches start at zero. A group of the norms must have at least eight channels.
    """
    encoder, decoder = vae.encoder, vae.decoder
    blocks = [*encoder.down_blocks, encoder.mid_block, decoder.mid_block, *decoder.up_blocks]
    for resnet in (resnet for block in blocks for resnet in block.resnets):
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)
        if resnet.conv_shortcut is not None:
            _carry(resnet.conv_shortcut, torch.ones(1, 1))
    box, centre = torch.zeros(3, 3), torch.zeros(3, 3)
    box[:2, :2] = 0.25
    centre[1, 1] = 1.0
    for block in encoder.down_blocks:
        for down in block.downsamplers or ():
            _carry(down.conv, box)
    for block in decoder.up_blocks:
        for up in block.upsamplers or ():
            _carry(up.conv, centre)
    for conv in (encoder.conv_in, decoder.conv_in):
        _enter(conv, centre)
    encoder.conv_out.weight[3:] *= 0.3
    encoder.conv_out.weight[:3] = _leave(encoder.conv_norm_out, encoder.conv_out, centre)
    decoder.conv_out.weight[:] = _leave(decoder.conv_norm_out, decoder.conv_out, centre)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)


def _carry(conv: nn.Conv2d, kernel: Tensor) -> None:
    """Let the carriers pass unmixed, filtered by a kernel; the other channels keep their random weights."""
    conv.weight[:CARRIERS] = 0.0
    conv.weight[:, list(FIXED)] = 0.0
    _bias(conv)[:CARRIERS] = 0.0
    for channel in range(CARRIERS):
        # The constant has no picture's border: it is made anew.
        if channel in FIXED:
            _bias(conv)[channel] = CONSTANT
        else:
            conv.weight[channel, channel] = kernel


def _enter(conv: nn.Conv2d, kernel: Tensor) -> None:
    conv.weight[:CARRIERS] = 0.0
    _bias(conv)[:CARRIERS] = 0.0
    for colour in COLOURS:
        conv.weight[colour, colour] = kernel
        conv.weight[4 + colour, colour] = -kernel
    _bias(conv)[list(FIXED)] = CONSTANT


def _leave(norm: nn.GroupNorm, conv: nn.Conv2d, kernel: Tensor) -> Tensor:
    """Undo the last norm, and return weights ``[3, C, 3, 3]`` of a convolution behind it that gives the colours.

    The norm's group holds each colour and its negative, whose means cancel, so that it hardly depends on the picture.
    """
    size = norm.num_channels // norm.num_groups
    mean = CONSTANT * len(FIXED) / size
    deviation = (CONSTANT**2 * len(FIXED) / size - mean**2) ** 0.5
    _bias(norm)[:CARRIERS] = mean / deviation
    _bias(conv)[:] = 0.0
    weights = torch.zeros(3, norm.num_channels, *conv.kernel_size)
    for colour in COLOURS:
        # silu(x) - silu(-x) = x
        weights[colour, colour] = deviation * kernel
        weights[colour, 4 + colour] = -deviation * kernel
    return weights


def _bias(layer: nn.Conv2d | nn.GroupNorm) -> Tensor:
    assert layer.bias is not None
    return layer.bias


@torch.no_grad()
def start_from_source(unet: Any) -> None:
    """Set weights of a `UNet2DConditionModel` so that its velocity is the negative source, at every noise level.

    At pure noise that is exactly "leave it as it is". The source latents are the second half of the input channels.
    They pass by the outermost skip connection. A group of the norms must have at least twelve channels.
    """
    count = unet.config.in_channels // 2
    carriers = 2 * count + 2
    conv, skipped = unet.conv_in, unet.conv_in.out_channels
    conv.weight[:carriers] = 0.0
    conv.bias[:carriers] = 0.0
    conv.bias[2 * count : carriers] = CONSTANT
    for k in range(count):
        conv.weight[k, count + k, 1, 1] = 1.0
        conv.weight[count + k, count + k, 1, 1] = -1.0
    last = unet.up_blocks[-1].resnets[-1]
    nn.init.zeros_(last.conv2.weight)
    nn.init.zeros_(last.conv2.bias)
    shortcut = last.conv_shortcut
    shortcut.weight[:carriers] = 0.0
    shortcut.bias[:carriers] = 0.0
    hidden = shortcut.in_channels - skipped
    shortcut.weight[:, hidden + 2 * count : hidden + carriers] = 0.0
    shortcut.bias[2 * count : carriers] = CONSTANT
    for k in range(2 * count):
        shortcut.weight[k, hidden + k] = 1.0
    norm, out = unet.conv_norm_out, unet.conv_out
    size = norm.num_channels // norm.num_groups
    mean = 2.0 * CONSTANT / size
    deviation = (2.0 * CONSTANT**2 / size - mean**2) ** 0.5
    norm.bias[:carriers] = mean / deviation
    out.weight[:] = 0.0
    out.bias[:] = 0.0
    for k in range(count):
        out.weight[k, k, 1, 1] = -deviation
        out.weight[k, count + k, 1, 1] = deviation
