"""Which layers of a U-Net take part, and how they get their processors and hooks, and lose them again.

Plug-and-play (Tumanyan et al. 2023) injects the source's queries and keys into the self-attention of the decoder from
its fifth layer of twelve on, and the source's features into that layer. A decoder of another depth is cut at the same
third.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines.tokenflow.attention import Call, TokenFlowAttention
from emo_bench.errors import UserError

# The first injected layer, as a part of the decoder: layer 4 of 12, counted from 0.
FIRST_PART = 3


@dataclass(frozen=True)
class Layers:
    """The layers that take part.

    Attributes:
        attention: names of the processors of all self-attention layers, as ``unet.attn_processors`` has them.
        injected: those that get queries and keys of the source.
        features: the residual block of the decoder whose output is the source's.
    """

    attention: frozenset[str]
    injected: frozenset[str]
    features: torch.nn.Module


def find_layers(unet: Any) -> Layers:
    """Return the layers of a ``UNet2DConditionModel``.

    Raises:
        UserError: it has no self-attention in transformer blocks, so no token can flow.
    """
    modules = dict(unet.named_modules())
    attention = {
        f"{name}.attn1.processor"
        for name, module in modules.items()
        if name.rpartition(".")[0].endswith("transformer_blocks") and not module.only_cross_attention
    }
    if not attention:
        raise UserError("the U-Net has no self-attention layers: TokenFlow cannot edit with it")
    decoder = [
        (f"up_blocks.{block}.attentions.{place}.", resnet)
        for block, layer in enumerate(unet.up_blocks)
        for place, resnet in enumerate(layer.resnets)
    ]
    first = len(decoder) // FIRST_PART
    injected = {name for name in attention if name.startswith(tuple(prefix for prefix, _ in decoder[first:]))}
    return Layers(frozenset(attention), frozenset(injected), decoder[first][1])


@contextmanager
def token_flow(unet: Any) -> Iterator[Call]:
    """Let the U-Net compute as TokenFlow does while the block runs; it yields what decides the kind of each call."""
    layers, call = find_layers(unet), Call()
    before = dict(unet.attn_processors)
    processors = {
        name: TokenFlowAttention(call, name in layers.injected) if name in layers.attention else processor
        for name, processor in before.items()
    }

    def inject(module: torch.nn.Module, arguments: Any, output: Tensor) -> Tensor:
        if not call.inject_features:
            return output
        return output.chunk(call.branches)[0].repeat(call.branches, 1, 1, 1)

    hook = layers.features.register_forward_hook(inject)
    try:
        unet.set_attn_processor(processors)
        yield call
    finally:
        hook.remove()
        unet.set_attn_processor(before)
