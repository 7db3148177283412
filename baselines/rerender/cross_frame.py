"""Cross-frame attention: the decoder's self-attention sees the first and the previous key frame, not the frame itself.

Key frames are painted one after the other. So the tokens that a layer got for the first and for the previous key frame
are kept, for every step of the sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from baselines.diffusion.attention import attention
from emo_bench.errors import UserError


@dataclass
class SeenTokens:
    """The tokens of the key frames, by layer and step.

    Attributes:
        step: number of the step of the sampling.
        first, previous, current: tokens ``[B, L, C]`` of the first key frame, of the one before, and of the one that is
            being painted. ``first`` is empty while the first key frame is painted; it sees itself.
    """

    step: int = 0
    first: dict[str, Tensor] = field(default_factory=dict)
    previous: dict[str, Tensor] = field(default_factory=dict)
    current: dict[str, Tensor] = field(default_factory=dict)

    def finish_frame(self) -> None:
        """Make the frame that was painted the previous one, and the first one if there is none yet."""
        self.first = self.first or self.current
        self.previous, self.current = self.current, {}


class CrossFrameAttention:
    """The attention processor of one self-attention layer."""

    def __init__(self, tokens: SeenTokens, layer: str) -> None:
        self.tokens, self.layer = tokens, layer

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        key = f"{self.layer} {self.tokens.step}"
        self.tokens.current[key] = hidden_states
        seen = hidden_states
        if self.tokens.first:
            kept = (self.tokens.first[key], self.tokens.previous[key])
            seen = torch.cat([one.to(hidden_states) for one in kept], 1)
        return attention(attn, hidden_states, seen, seen)


@contextmanager
def cross_frame_attention(unet: Any, tokens: SeenTokens) -> Iterator[None]:
    """Let the U-Net's decoder attend to other key frames while the block runs.

    Raises:
        UserError: the decoder has no self-attention in transformer blocks.
    """
    before = dict(unet.attn_processors)
    layers = {
        f"{name}.attn1.processor"
        for name, module in unet.named_modules()
        if name.startswith("up_blocks.")
        and name.rpartition(".")[0].endswith("transformer_blocks")
        and not module.only_cross_attention
    }
    if not layers:
        raise UserError("the U-Net's decoder has no self-attention layers: Rerender-A-Video cannot edit with it")
    try:
        unet.set_attn_processor(
            {
                name: CrossFrameAttention(tokens, name) if name in layers else processor
                for name, processor in before.items()
            }
        )
        yield
    finally:
        unet.set_attn_processor(before)
