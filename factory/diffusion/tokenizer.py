"""The tokenizer of instructions: CLIP's byte-pair encoding, with merges learned from the project's own wordings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import write_json
from factory.diffusion.wordings import training_texts

CONTEXT = 32
"""Tokens of an instruction with its start and end; a longer one is cut."""
START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"

Merge = tuple[str, str]


def make_tokenizer(texts: Sequence[str] | None = None) -> Any:
    """Return a `transformers.CLIPTokenizer` that knows each word of the texts, by default those of the training.

    A known word is one token. Every other word is cut into known pieces and letters, so that no text is refused.
    """
    transformers = require_transformers()
    merges = learn_merges(known_words(training_texts() if texts is None else texts))
    letters = _letters()
    # The order of CLIP's own vocabulary: every byte, every byte at the end of a word, merges, start and end.
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters), *(a + b for a, b in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def known_words(texts: Sequence[str]) -> list[str]:
    """Return the words of texts, in order; signs are not words."""
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})


def learn_merges(words: Sequence[str]) -> list[Merge]:
    """Merge the most frequent neighbours (Sennrich et al. 2016) until every word is one token; ties go by spelling."""
    spelled = [[*word[:-1], word[-1] + END_OF_WORD] for word in words]
    merges: list[Merge] = []
    while True:
        counts = Counter(pair for pieces in spelled for pair in pairwise(pieces))
        if not counts:
            return merges
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spelled = [_merged(pieces, best) for pieces in spelled]


def _merged(pieces: list[str], pair: Merge) -> list[str]:
    made: list[str] = []
    at = 0
    while at < len(pieces):
        both = tuple(pieces[at : at + 2]) == pair
        made.append(pieces[at] + pieces[at + 1] if both else pieces[at])
        at += 2 if both else 1
    return made


def encode(tokenizer: Any, texts: Sequence[str]) -> Any:
    """Return token numbers as a pipeline of diffusers makes them: int64 ``[B, CONTEXT]``, padded and cut."""
    found = tokenizer(list(texts), padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
    return found.input_ids


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's files, also those that transformers 4 reads."""
    import json

    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    write_json(folder / "vocab.json", model["vocab"])
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8")


def require_transformers() -> Any:
    """Import transformers; raise a UserError with the remedy if it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise UserError("this needs transformers; run: pip install 'emo-bench[diffusion]'") from error
    return transformers


def _letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())
