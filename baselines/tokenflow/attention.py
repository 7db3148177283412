"""The self-attention of a layer in the three kinds of calls of the network.

A call for an edit has branches of equally many frames, one after the other in the batch: the source first, then the
branches of the edit (the negative text and the target's). The source's attention is always the network's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor

from baselines.diffusion.attention import attention
from baselines.tokenflow.key_frames import Neighbours
from baselines.tokenflow.propagation import propagated


class Kind(Enum):
    """What a call of the network is for."""

    PLAIN = auto()
    """No branches: the network as it is."""
    KEY_FRAMES = auto()
    """All key frames at once: each frame of the edit attends to all of them."""
    OTHER_FRAMES = auto()
    """Frames whose edited tokens come from the key frames of the call before."""


@dataclass
class Call:
    """What the layers must know about a call of the network; the edit sets it before the call.

    Attributes:
        kind: what the call is for.
        branches: number of branches in the batch, the source included.
        inject_attention: whether queries and keys of the edit are the source's.
        inject_features: whether features of the edit are the source's.
        neighbours: the key frames around each frame, for ``OTHER_FRAMES``.
    """

    kind: Kind = Kind.PLAIN
    branches: int = 1
    inject_attention: bool = False
    inject_features: bool = False
    neighbours: Neighbours | None = None


def attended(attn: Any, tokens: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the self-attention of ``tokens``, by the weights of a layer.

    Args:
        attn: the layer, ``diffusers.models.attention_processor.Attention``.
        tokens: ``[B, L, C]``.
        guide: the tokens that give queries and keys, of the same shape; None: ``tokens`` themselves.
    """
    where = tokens if guide is None else guide
    return attention(attn, where, where, tokens)


def attended_jointly(attn: Any, tokens: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return extended attention: every frame attends to the tokens of all frames, as if they were one long picture.

    The arguments are those of :func:`attended`; the batch is the frames.
    """
    long_guide = None if guide is None else guide.flatten(0, 1)[None]
    return attended(attn, tokens.flatten(0, 1)[None], long_guide).reshape(tokens.shape)


class TokenFlowAttention:
    """The attention processor of one self-attention layer; it keeps the key frames' tokens for the other frames."""

    def __init__(self, call: Call, injected: bool) -> None:
        self.call = call
        self.injected = injected
        self.key_source: Tensor | None = None
        self.key_edited: Tensor | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if self.call.kind is Kind.PLAIN:
            return attended(attn, hidden_states)
        source, *edits = hidden_states.chunk(self.call.branches)
        source_tokens = attended(attn, source)
        if self.call.kind is Kind.KEY_FRAMES:
            guide = source if self.injected and self.call.inject_attention else None
            self.key_source = source_tokens
            self.key_edited = torch.stack([attended_jointly(attn, edit, guide) for edit in edits])
            edited = self.key_edited
        else:
            assert self.key_source is not None and self.key_edited is not None and self.call.neighbours is not None
            edited = propagated(source_tokens, self.key_source, self.key_edited, self.call.neighbours)
        return torch.cat([source_tokens, *edited])
