"""Captions that a CLIP model can read to their end; its tokenizer cuts longer ones off without a word."""

from __future__ import annotations

import functools
from typing import Any, Protocol

from emo_bench.errors import UserError, shortened
from emo_bench.system.root_logger import root_logger_kept


class Named(Protocol):
    """A CLIP model: its name, and open_clip's name of its architecture, as ``ClipSource`` has them."""

    @property
    def name(self) -> str: ...

    @property
    def architecture(self) -> str: ...


@functools.lru_cache(maxsize=4)
def tokenizer_of(architecture: str) -> Any:
    """Return open_clip's tokenizer of an architecture, see ``ClipSource.architecture``; it is loaded once."""
    import open_clip

    with root_logger_kept():
        return open_clip.get_tokenizer(architecture)


def require_readable(source: Named, caption: str) -> None:
    """Refuse a caption that is longer than the model's context: two captions that differ at their ends would be one.

    Raises:
        UserError: the caption is too long; the message has the number of its tokens and the limit.
    """
    tokenizer = tokenizer_of(source.architecture)
    # The model also reads a mark at the start and one at the end.
    tokens, limit = len(tokenizer.encode(caption)) + 2, int(tokenizer.context_length)
    if tokens > limit:
        raise UserError(
            f"the caption {shortened(repr(caption))} has {tokens} tokens, and the CLIP model {source.name} reads "
            f"{limit}: shorten the caption, because its end would be ignored"
        )
