"""The two towers as an open_clip config, and the folder from which open_clip loads them."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from emo_bench.clip.model import CONFIG_FILE, WEIGHTS_FILE
from emo_bench.errors import UserError
from emo_bench.files import write_bytes, write_json

NAME = "portraits"
ARCHITECTURE = "emo-portraits"
MAX_PARAMETERS = 8_000_000
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)

# One bottleneck block per stage; the text tower is narrow because open_clip's tokenizer has 49,408 words.
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 1], "width": 24, "head_width": 32},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}


def new_model(seed: int, words: set[str]) -> nn.Module:
    """Create untrained towers on the CPU, registered with open_clip as ``emo-portraits``.

    The embeddings of tokens that no caption contains start at zero and have no gradient, so they stay zero: an unknown
    word has no effect instead of a random one. Raises UserError if open_clip is not installed.
    """
    open_clip = require_open_clip()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{ARCHITECTURE}.json"
        file.write_text(json.dumps(MODEL), encoding="utf-8")
        open_clip.add_model_config(file)
    torch.manual_seed(seed)
    model = open_clip.create_model(ARCHITECTURE, load_weights=False)
    known = torch.zeros(MODEL["text_cfg"]["vocab_size"], dtype=torch.bool)
    for token in known_tokens(words):
        known[token] = True
    with torch.no_grad():
        model.token_embedding.weight[~known] = 0.0
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters <= MAX_PARAMETERS, parameters
    assert isinstance(model, nn.Module)
    return model


def known_tokens(words: set[str]) -> set[int]:
    """Return the tokens of the words, of punctuation between them, and of start and end."""
    tokenizer = tokenizer_of_portraits()
    found = {tokenizer.sot_token_id, tokenizer.eot_token_id, 0}
    for word in [*words, ",", "-", "."]:
        found |= set(tokenizer.encode(word))
    return found


def tokenizer_of_portraits() -> Any:
    """Return open_clip's own tokenizer, with the context length of these towers."""
    open_clip = require_open_clip()
    return open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])


def require_open_clip() -> Any:
    """Import open_clip; raise a UserError with the remedy if it is not installed."""
    try:
        import open_clip
    except ImportError as error:
        raise UserError("the small CLIP needs open_clip; run: pip install open_clip_torch") from error
    return open_clip


def save_model(folder: Path, model: nn.Module) -> None:
    """Write config and float16 weights in the format of open_clip's ``local-dir:`` and of `emo_bench.clip.model`."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    preprocess: dict[str, Any] = {"mean": MEAN, "std": DEVIATION, "interpolation": "bicubic", "resize_mode": "squash"}
    preprocess |= {"size": [MODEL["vision_cfg"]["image_size"]] * 2, "mode": "RGB", "fill_color": 0}
    config = {"model_cfg": copy.deepcopy(MODEL), "preprocess_cfg": preprocess}
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    write_bytes(folder / WEIGHTS_FILE, save(weights))
    write_json(folder / CONFIG_FILE, config)
