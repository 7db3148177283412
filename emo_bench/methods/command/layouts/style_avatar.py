"""The layout of StyleAvatar's data: ``image``, ``uv``, ``render`` and ``back``, one PNG per frame.

Source: LizhenWangT/StyleAvatar (``styleavatar/dataset.py``, ``test.py``). The pictures of a frame have the same name in
four folders. ``uv`` is R = u, G = v, B = mask. ``render`` is the shaded tracked mesh, of our tracker instead of
FaceVerse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.methods.command.layouts.pictures import frame_name, write_frames_and_masks, write_picture
from emo_bench.progress import track_progress
from emo_bench.tracking.head_rig import load_head_rig

# Side in pixels at which the official code reads renders and UV maps.
RENDER_PX = 256
# Direction to the light in camera space (x right, y down, z forward): the light is above and left of the camera.
LIGHT = np.array([-0.35, -0.45, -0.82])
ALBEDO = np.array([205.0, 170.0, 150.0])
AMBIENT = 0.35


def export_training(capture: Capture, train: Sequence[int], folder: Path, size_px: int) -> None:
    """Write ``image/``, ``back/`` (the person's mask) at ``size_px``, ``uv/`` and ``render/`` at 256 px."""
    write_frames_and_masks(capture, train, folder / "image", folder / "back", size_px)
    _write_maps(capture, train, folder)


def export_driving(capture: Capture, indices: Sequence[int], folder: Path, size_px: int) -> None:
    """Write ``uv/`` and ``render/``; they do not depend on ``size_px``, the side of the rendered frames."""
    _write_maps(capture, indices, folder)


def uv_picture(uv: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Convert UV ``[S, S, 2]`` in [0, 1] and mask ``[S, S]`` bool to uint8 ``[S, S, 3]``: R = u, G = v, B = mask."""
    picture = np.zeros((*mask.shape, 3), dtype=np.uint8)
    picture[..., :2] = np.rint(uv.astype(np.float32) * 255.0)
    picture[..., 2] = mask * np.uint8(255)
    return picture


def shaded_mesh(capture: Capture, i: int, size_px: int) -> np.ndarray:
    """Render the mesh of frame ``i``: uint8 ``[S, S, 3]`` RGB on black, Lambertian, one light, smooth normals."""
    from emo_bench.tracking.raycast import RayCaster

    track, rig = capture.track, load_head_rig()
    scale = size_px / track.size_px
    center = (track.center_px[0] * scale, track.center_px[1] * scale)
    vertices = track.vertices(i)
    face, barycentric, _ = RayCaster(rig.faces).cast(vertices, track.focal_px * scale, center, size_px)
    hit = face >= 0
    corners = rig.faces[face[hit]]
    smooth = _vertex_normals(vertices, rig.faces)[corners]
    normals = np.einsum("nc,ncd->nd", barycentric[hit], smooth)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-8)
    light = LIGHT / np.linalg.norm(LIGHT)
    shade = AMBIENT + (1.0 - AMBIENT) * np.clip(normals @ light, 0.0, 1.0)
    picture = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    picture[hit] = np.rint(shade[:, None] * ALBEDO)
    return picture


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    normals = np.zeros((len(vertices), 3))
    # The length of the cross product weights each triangle's normal by the triangle's area.
    across = np.cross(b - a, c - a)
    for k in range(3):
        np.add.at(normals, faces[:, k], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _write_maps(capture: Capture, indices: Sequence[int], folder: Path) -> None:
    for part in ("uv", "render"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with track_progress(len(indices), "export: uv and render") as advance:
        for i in indices:
            write_picture(folder / "uv" / frame_name(i), uv_picture(*capture.track.uv(i, RENDER_PX)))
            write_picture(folder / "render" / frame_name(i), shaded_mesh(capture, i, RENDER_PX))
            advance()
