"""A CLIP model from files on this machine: unit embeddings of frames and captions. It never downloads anything."""

from __future__ import annotations

import functools
import importlib.util
import logging
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.clip.captions import require_readable, tokenizer_of
from emo_bench.clip.config import check_clip_config
from emo_bench.errors import SettingError, UserError
from emo_bench.untrusted.refusal import reason_of

Embeddings = NDArray[np.float64]
FramesU8 = NDArray[np.uint8]

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
FRAMES_AT_ONCE = 16
LOCAL = "local-dir:"


@dataclass(frozen=True)
class Weights:
    """A catalogued model: the asset with its weights, and open_clip's name of its architecture."""

    asset: str
    architecture: str


PORTRAITS, JUDGE = "portraits", "judge"
# Models of this project: assets that are folders.
FOLDERS = {PORTRAITS: "clip-portraits", JUDGE: "clip-judge"}

# OpenAI trained the weights with the fast approximation of GELU; open_clip uses it only in configs with this suffix.
MODELS = {
    "ViT-L-14": Weights("clip-vit-l-14", "ViT-L-14-quickgelu"),
    "ViT-B-32": Weights("clip-vit-b-32", "ViT-B-32-quickgelu"),
}


@dataclass(frozen=True)
class ClipSource:
    """A model found on this machine.

    Attributes:
        name: the name in records.
        architecture: open_clip's name, or "local-dir:" and a folder that holds config and weights.
        weights: the file with the weights.
        sha256: the SHA-256 of the weights.
    """

    name: str
    architecture: str
    weights: Path
    sha256: str


@dataclass(frozen=True)
class Towers:
    """A loaded model and the input format of its image tower.

    Attributes:
        model: open_clip's model, in eval mode and fp32.
        size_px: height and width of the input.
        mean, deviation: mean and standard deviation of the three channels of pictures in [0, 1].
    """

    model: Any
    size_px: tuple[int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def missing_clip(name: str = "auto") -> str | None:
    """Return in one line why the model of that name or folder cannot be used, with the remedy; None if it can.

    Raises:
        UserError: the name is neither "auto", a known model nor a folder.
    """
    if importlib.util.find_spec("open_clip") is None:
        return "needs open_clip; run: pip install open_clip_torch"
    if name not in ("auto", *FOLDERS, *MODELS):
        _checked_folder(_folder(name))
        return None
    wanted = [asset for _, asset in _choice(name)]
    if any(assets.locate(asset) for asset in wanted):
        return None
    # "auto" accepts any model: suggest a published one, which one command installs; ours comes with the package.
    wanted = wanted if len(wanted) == 1 else [weights.asset for weights in MODELS.values()]
    remedies = " or ".join(assets.find_asset(asset).remedy() for asset in wanted)
    return f"needs asset {' or '.join(wanted)}; run: {remedies}"


def find_clip(name: str = "auto") -> ClipSource:
    """Find a model: "ViT-L-14", "ViT-B-32", "portraits", "judge", a folder, or "auto".

    "auto" is the first of the first three that is on this machine. "portraits" is the small CLIP that this project
    trained, and "judge" its second one, see :mod:`emo_bench.clip.judge`. A folder holds ``open_clip_config.json``
    (open_clip's format: model_cfg, preprocess_cfg) and ``open_clip_model.safetensors``.

    Raises:
        UserError: the model is not on this machine; one line with the remedy.
    """
    lacking = missing_clip(name)
    if lacking:
        raise UserError(f"CLIP {lacking}")
    if name not in ("auto", *FOLDERS, *MODELS):
        return _source_of_folder(_folder(name), _folder(name).name)
    known, asset = next((known, asset) for known, asset in _choice(name) if assets.locate(asset))
    found = assets.require(asset)
    if known in FOLDERS:
        return _source_of_folder(found.path, known)
    return ClipSource(known, MODELS[known].architecture, found.path, found.sha256)


def load_towers(source: ClipSource, device: str) -> Towers:
    """Load a model from its files, converted to fp32, for scores and for losses.

    Raises:
        UserError: the weights are damaged or do not belong to the config.
    """
    import open_clip

    # open_clip logs on the root logger; without a handler, its first line would configure one that shows our lines too.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    local = source.architecture.startswith(LOCAL)
    try:
        # A catalogued file is OpenAI's TorchScript archive, checked by its SHA-256; any other file must hold plain
        # tensors.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(TorchScript|torch.jit)")
            model = open_clip.create_model(
                source.architecture,
                pretrained=None if local else str(source.weights),
                device=device,
                weights_only=local,
                require_pretrained=True,
            ).eval()
    # open_clip and torch raise many kinds of errors for a file that does not fit its config.
    except Exception as error:
        raise UserError(f"{source.weights} does not fit the CLIP model {source.name}: {reason_of(error)}") from error
    size = model.visual.image_size
    preprocessing: dict[str, Any] = model.visual.preprocess_cfg
    return Towers(
        model,
        (size, size) if isinstance(size, int) else (size[0], size[1]),
        tuple(preprocessing["mean"]),
        tuple(preprocessing["std"]),
    )


@functools.lru_cache(maxsize=3)
def load_clip(source: ClipSource, device: str) -> ClipModel:
    """Load the model once per process and device."""
    return ClipModel(source, device)


class ClipModel:
    """Computes unit embeddings of frames and captions, in fp32.

    Frames are preprocessed as in instruct-pix2pix's ``metrics/clip_similarity.py``: [0, 1], resized to the tower's
    square by bicubic interpolation without crop or antialiasing, then normalised by CLIP's mean and deviation.
    """

    def __init__(self, source: ClipSource, device: str = "cpu") -> None:
        import torch

        towers = load_towers(source, device)
        self._model, self._size, self._device = towers.model, towers.size_px, device
        self._tokenize = tokenizer_of(source.architecture)
        self._mean, self._deviation = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (towers.mean, towers.deviation)
        )
        self._captions: dict[str, Embeddings] = {}
        self.source = source
        self.key = (source, device)
        self.detail = (
            f"open_clip {version('open_clip_torch')}, fp32, bicubic squash to "
            f"{self._size[1]}x{self._size[0]} px without antialias"
        )

    def of_frames(self, frames: FramesU8) -> Embeddings:
        """Embed frames, uint8 ``[B, H, W, 3]`` -> float64 ``[B, D]`` of length 1."""
        import torch
        from torch.nn import functional

        parts = []
        # TensorFloat-32 in the first convolution would change small differences of embeddings by several percent.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                some = np.ascontiguousarray(frames[start : start + FRAMES_AT_ONCE])
                images = torch.from_numpy(some).to(self._device).permute(0, 3, 1, 2).float() / 255.0
                squashed = functional.interpolate(images, self._size, mode="bicubic", align_corners=False)
                parts.append(self._model.encode_image((squashed - self._mean) / self._deviation).cpu())
        return _unit(torch.cat(parts).double().numpy()) if parts else np.empty((0, 0))

    def of_caption(self, caption: str) -> Embeddings:
        """Embed a caption -> float64 ``[D]`` of length 1.

        Raises:
            UserError: the caption is longer than the model's context.
        """
        import torch

        if caption not in self._captions:
            require_readable(self.source, caption)
            with torch.inference_mode():
                tokens = self._tokenize([caption]).to(self._device)
                self._captions[caption] = _unit(self._model.encode_text(tokens).double().cpu().numpy())[0]
        return self._captions[caption]


def _choice(name: str) -> list[tuple[str, str]]:
    """Return names of models and their assets, in the order of the search."""
    known = {known: weights.asset for known, weights in MODELS.items()} | FOLDERS
    return [(known_name, known[known_name]) for known_name in ((*MODELS, PORTRAITS) if name == "auto" else (name,))]


def _folder(name: str) -> Path:
    if not name.strip():
        raise SettingError(
            f"the name of the CLIP model is empty: give {', '.join(('auto', *MODELS, *FOLDERS))}, or a folder"
        )
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        known = ", ".join(("auto", *MODELS, *FOLDERS))
        raise SettingError(f"unknown CLIP model {name!r}; known: {known}, or a folder")
    return folder


def _checked_folder(folder: Path) -> Path:
    """Return the folder if it holds a model in open_clip's format that needs nothing from a hub."""
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise UserError(f"{folder} holds no CLIP model: {file} is missing")
    check_clip_config(folder / CONFIG_FILE, folder / WEIGHTS_FILE)
    return folder


def _source_of_folder(folder: Path, name: str) -> ClipSource:
    weights = _checked_folder(folder) / WEIGHTS_FILE
    return ClipSource(name, f"{LOCAL}{folder}", weights, assets.sha256_of(weights))


def _unit(rows: Embeddings) -> Embeddings:
    lengths: Embeddings = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths
