"""MakeHuman's CC0 assets: find them, and bind a proxy to the base mesh."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from emo_bench import paths
from emo_bench.errors import UserError
from emo_bench.pictures.reading import read_layers


def makehuman_folder() -> Path:
    """Find the asset folder.

    It is searched in ``EMO_BENCH_MAKEHUMAN``, as ``makehuman`` in the folders of ``EMO_BENCH_ASSETS``, and as
    ``shared/makehuman`` next to the checkout.

    Raises:
        UserError: it is in none of these places.
    """
    named = os.environ.get("EMO_BENCH_MAKEHUMAN")
    beside = Path(__file__).resolve().parents[3] / "shared" / "makehuman"
    extra = [folder / "makehuman" for folder in paths.asset_folders()]
    for folder in (*([Path(named)] if named else []), *extra, beside):
        if (folder / "skins").is_dir():
            return folder
    raise UserError(
        "the studio needs MakeHuman's base assets (CC0, makehumancommunity/makehuman-assets): clone them and set "
        "EMO_BENCH_MAKEHUMAN to their folder 'base'"
    )


@lru_cache(maxsize=64)
def load_texture(name: str, size_px: int = 512) -> np.ndarray:
    """Read an image of the asset folder as float32 RGBA ``[S, S, 4]`` in [0, 1], linear light."""
    from PIL import Image

    layers = read_layers(makehuman_folder() / name)
    alpha = np.full(layers.colour.shape[:2], 255, np.uint8) if layers.alpha is None else layers.alpha
    image = Image.fromarray(np.dstack((layers.colour, alpha)))
    image = image.resize((size_px, size_px), Image.Resampling.BOX)
    rgba = np.asarray(image, dtype=np.float32) / 255.0
    rgba[..., :3] **= 2.2
    return _bleed(rgba)


def _bleed(rgba: np.ndarray) -> np.ndarray:
    """Extend the colours of opaque texels into transparent ones, so that soft edges get no black rim."""
    from scipy import ndimage

    clear = rgba[..., 3] < 0.25
    if not clear.any() or clear.all():
        return rgba
    rows, columns = ndimage.distance_transform_edt(clear, return_distances=False, return_indices=True)
    return np.concatenate((rgba[rows, columns, :3], rgba[..., 3:]), axis=-1)


@dataclass(frozen=True)
class Proxy:
    """A mesh that follows the base mesh. P vertices, F triangles.

    Attributes:
        base: ``[P, 3]`` base-mesh vertices that carry each vertex.
        weights: ``[P, 3]``.
        offsets: ``[P, 3]`` in decimetres, MakeHuman's axes.
        scale_vertices: ``[3, 2]``, the pair of base vertices that measures each axis.
        scale_dm: ``[3]``, their distance on the unshaped base mesh.
        faces, face_uv: ``[F, 3]`` and ``[F, 3, 2]``, with the row axis of uv upwards.
        hidden: base-mesh vertices that the proxy covers.
    """

    base: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    scale_vertices: np.ndarray
    scale_dm: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    hidden: np.ndarray

    def fit(self, base_vertices: np.ndarray) -> np.ndarray:
        """Place the proxy on a base mesh ``[19158, 3]`` in the body frame; ``[P, 3]`` metres."""
        pairs = base_vertices[self.scale_vertices]
        extent = np.abs(pairs[:, 0] - pairs[:, 1])[np.arange(3), np.arange(3)]
        offsets = self.offsets * (extent / self.scale_dm) * np.array([1.0, -1.0, -1.0])
        carried = (base_vertices[self.base] * self.weights[..., None]).sum(axis=1)
        return (carried + offsets).astype(np.float32)


@lru_cache(maxsize=32)
def load_proxy(name: str) -> Proxy:
    """Read ``NAME.mhclo`` and its ``.obj``; ``name`` is relative to the asset folder, without the extension."""
    path = makehuman_folder() / f"{name}.mhclo"
    bindings: list[list[float]] = []
    hidden: list[int] = []
    scales: dict[str, tuple[int, int, float]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and words[0].lstrip("-").isdigit():
            bindings.append([float(word) for word in words])
        elif section == "delete_verts" and words[0].isdigit():
            hidden += _ranges(words)
    base = np.array([b[:3] if len(b) >= 6 else [b[0]] * 3 for b in bindings]).astype(np.int64)
    weights = np.array([b[3:6] if len(b) >= 6 else [1.0, 0.0, 0.0] for b in bindings])
    offsets = np.array([b[6:9] if len(b) >= 9 else [0.0, 0.0, 0.0] for b in bindings])
    axes = [scales.get(axis, (0, 0, 1.0)) for axis in "xyz"]
    faces, face_uv = _read_obj(path.with_suffix(".obj"))
    return Proxy(
        base, weights, offsets, np.array([a[:2] for a in axes]), np.array([a[2] for a in axes]), faces, face_uv,
        np.array(sorted(set(hidden)), dtype=np.int64),
    )  # fmt: skip


def _ranges(words: list[str]) -> list[int]:
    out: list[int] = []
    position = 0
    while position < len(words):
        if position + 2 < len(words) and words[position + 1] == "-":
            out += range(int(words[position]), int(words[position + 2]) + 1)
            position += 3
        else:
            out.append(int(words[position]))
            position += 1
    return out


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read triangles ``[F, 3]`` and their texture coordinates ``[F, 3, 2]``; polygons become fans of triangles."""
    texture: list[tuple[float, float]] = []
    faces: list[tuple[int, int, int]] = []
    corners: list[tuple[int, int, int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "vt":
            texture.append((float(words[1]), float(words[2])))
        elif words[0] == "f":
            pairs = [word.split("/") for word in words[1:]]
            vertex = [int(pair[0]) - 1 for pair in pairs]
            uv = [int(pair[1]) - 1 for pair in pairs]
            for k in range(1, len(pairs) - 1):
                faces.append((vertex[0], vertex[k], vertex[k + 1]))
                corners.append((uv[0], uv[k], uv[k + 1]))
    return np.array(faces, dtype=np.int64), np.array(texture, dtype=np.float32)[np.array(corners)]
