"""The attention of a layer of diffusers, with freely chosen tokens for its queries, keys and values."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional


def attention(attn: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what a layer gives for each query, by the layer's weights.

    Args:
        attn: the layer, ``diffusers.models.attention_processor.Attention``.
        queries: tokens that ask, ``[B, L, C]``.
        keys, values: tokens that are looked at, and those whose values come out, ``[B, K, C]``.

    Returns:
        ``[B, L, C]``.
    """
    query, key, value = (
        made.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for made in (attn.to_q(queries), attn.to_k(keys), attn.to_v(values))
    )
    seen = functional.scaled_dot_product_attention(query, key, value, scale=attn.scale)
    out, dropout = attn.to_out
    return dropout(out(seen.transpose(1, 2).flatten(2)))
