"""A CLIP model from files on this machine: unit embeddings of frames and captions. Nothing is ever downloaded."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.metrics.batch import FramesU8
from emo_bench.metrics.metric import Backend

Embeddings = NDArray[np.float64]

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class Weights:
    """A catalogued model: the asset with its weights, and what open_clip calls its architecture."""

    asset: str
    architecture: str


# OpenAI's weights were trained with the quick form of GELU; open_clip has it only in the configs named so.
MODELS = {
    "ViT-L-14": Weights("clip-vit-l-14", "ViT-L-14-quickgelu"),
    "ViT-B-32": Weights("clip-vit-b-32", "ViT-B-32-quickgelu"),
}


@dataclass(frozen=True)
class ClipSource:
    """A model found on this machine.

    Attributes:
        name: as records show it.
        architecture: open_clip's name, or "local-dir:" and a folder that holds config and weights.
        weights: the file.
        sha256: of the weights.
    """

    name: str
    architecture: str
    weights: Path
    sha256: str


def missing_clip(name: str = "auto") -> str | None:
    """Why no embedding can be made with the model of that name or folder, in one line with the remedy, or None.

    Raises:
        UserError: the name is neither "auto", a known model nor a folder.
    """
    if importlib.util.find_spec("open_clip") is None:
        return "needs open_clip; run: pip install open_clip_torch"
    if name != "auto" and name not in MODELS:
        _local_folder(name)
        return None
    wanted = [weights.asset for weights in _choice(name)]
    if any(assets.locate(asset) for asset in wanted):
        return None
    remedies = " or ".join(assets.find_asset(asset).remedy() for asset in wanted)
    return f"needs asset {' or '.join(wanted)}; run: {remedies}"


def find_clip(name: str = "auto") -> ClipSource:
    """The model of that name; "auto" is the first of ViT-L-14, ViT-B-32 that is here; else a folder of our format.

    A folder holds ``open_clip_config.json`` (open_clip's: model_cfg, preprocess_cfg) and
    ``open_clip_model.safetensors``.

    Raises:
        UserError: it is not here, in one line with the remedy.
    """
    lacking = missing_clip(name)
    if lacking:
        raise UserError(f"CLIP {lacking}")
    if name != "auto" and name not in MODELS:
        folder = _local_folder(name)
        weights_file = folder / WEIGHTS_FILE
        return ClipSource(folder.name, f"local-dir:{folder}", weights_file, _sha256(weights_file))
    weights = next(weights for weights in _choice(name) if assets.locate(weights.asset))
    found = assets.require(weights.asset)
    return ClipSource(found.path.stem, weights.architecture, found.path, found.sha256)


@functools.lru_cache(maxsize=2)
def load_clip(source: ClipSource, device: str) -> ClipModel:
    """The model, loaded once a process and device."""
    return ClipModel(source, device)


class ClipModel:
    """Unit embeddings of frames and captions, in fp32.

    Frames are preprocessed as instruct-pix2pix's ``metrics/clip_similarity.py`` does: [0, 1], squashed to the
    tower's square by bicubic interpolation without crop or antialias, then CLIP's mean and deviation.
    """

    def __init__(self, source: ClipSource, device: str = "cpu") -> None:
        import open_clip
        import torch

        local = source.architecture.startswith("local-dir:")
        # A catalogued file is OpenAI's TorchScript archive, checked by its SHA-256; any other must be plain tensors.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(TorchScript|torch.jit)")
            self._model = open_clip.create_model(
                source.architecture,
                pretrained=None if local else str(source.weights),
                device=device,
                weights_only=local,
                require_pretrained=True,
            ).eval()
        self._tokenize = open_clip.get_tokenizer(source.architecture)
        self._device = device
        size = self._model.visual.image_size
        self._size = (size, size) if isinstance(size, int) else tuple(size)
        preprocessing: dict[str, Any] = self._model.visual.preprocess_cfg
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(preprocessing["mean"], device=device).view(shape)
        self._deviation = torch.tensor(preprocessing["std"], device=device).view(shape)
        self._captions: dict[str, Embeddings] = {}
        self.key = (source, device)
        self.backend = Backend(
            f"clip-{source.name.lower()}",
            source.sha256,
            f"open_clip {version('open_clip_torch')}, fp32, bicubic squash to "
            f"{self._size[1]}x{self._size[0]} px without antialias",
        )

    def of_frames(self, frames: FramesU8) -> Embeddings:
        """uint8 ``[B, H, W, 3]`` -> float64 ``[B, D]`` of length 1."""
        import torch
        from torch.nn import functional

        parts = []
        # TensorFloat-32 in the first convolution would move small differences of embeddings by percents.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                some = np.ascontiguousarray(frames[start : start + FRAMES_AT_ONCE])
                images = torch.from_numpy(some).to(self._device).permute(0, 3, 1, 2).float() / 255.0
                squashed = functional.interpolate(images, self._size, mode="bicubic", align_corners=False)
                parts.append(self._model.encode_image((squashed - self._mean) / self._deviation).cpu())
        return _unit(torch.cat(parts).double().numpy()) if parts else np.empty((0, 0))

    def of_caption(self, caption: str) -> Embeddings:
        """A caption -> float64 ``[D]`` of length 1; beyond the model's context length it is cut."""
        import torch

        if caption not in self._captions:
            with torch.inference_mode():
                tokens = self._tokenize([caption]).to(self._device)
                self._captions[caption] = _unit(self._model.encode_text(tokens).double().cpu().numpy())[0]
        return self._captions[caption]


def _choice(name: str) -> list[Weights]:
    return list(MODELS.values()) if name == "auto" else [MODELS[name]]


def _local_folder(name: str) -> Path:
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"unknown CLIP model {name!r}; known: auto, {', '.join(MODELS)}, or a folder")
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise UserError(f"{folder} holds no CLIP model: {file} is missing")
    try:
        text = json.loads((folder / CONFIG_FILE).read_text())["model_cfg"]["text_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG_FILE} is not an open_clip config: {error!r}") from error
    if "hf_model_name" in text:
        raise UserError(
            f"{folder / CONFIG_FILE}: its text tower {text['hf_model_name']} lives on a hub, not here"
        )
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unit(rows: Embeddings) -> Embeddings:
    lengths: Embeddings = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths
