"""Points attached to the head rig: blendshapes, skinning weights and rotations of the surface at each point's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.warp_kernels import kernels
from emo_bench.actors.track import POSES, Track
from emo_bench.tracking.head_rig import Head, HeadRig, pose_head, shift_torso, torso_middle
from emo_bench.tracking.raycast import warp


@dataclass(frozen=True)
class Attachment:
    """The places of N points on the rig: triangle ``[N]`` int64 and barycentric weights ``[N, 3]``."""

    face: Tensor
    barycentric: Tensor


@dataclass(frozen=True)
class FrameDrive:
    """The signals that move the points in one frame; tensors on the device, B = 1.

    Attributes:
        expression: ``[1, 52]``.
        poses: the four ``[1, 3]`` of ``POSES``: body rotation, body translation, neck and head rotation.
        torso_shift: ``[3]``, see ``shift_torso``.
        torso_middle: ``[3]`` metres, the middle of the torso before the shift.
        vertices: ``[V, 3]`` metres, the posed mesh.
    """

    expression: Tensor
    poses: tuple[Tensor, Tensor, Tensor, Tensor]
    torso_shift: Tensor
    torso_middle: Tensor
    vertices: Tensor


def frame_drive(rig: HeadRig, track: Track, index: int, device: str) -> FrameDrive:
    """Return the signals of frame ``index``."""
    expression = torch.from_numpy(track.expression[index : index + 1])
    poses = [torch.from_numpy(getattr(track, name)[index : index + 1]) for name in POSES]
    shift = np.asarray(track.torso_shift[index], np.float32)
    return drive_by(rig, track.head, expression, poses, shift, device)


def drive_by(
    rig: HeadRig, head: Head, expression: Tensor, poses: Sequence[Tensor], shift: np.ndarray, device: str
) -> FrameDrive:
    """Return the signals of a head with coefficients ``[1, 52]``, four poses ``[1, 3]`` and a torso shift ``[3]``.

    Coefficients and poses keep their gradient; the mesh and the torso's middle have none.
    """
    with torch.no_grad():
        unshifted = pose_head(rig, head, *(signal.detach().cpu() for signal in (expression, *poses)))[0].numpy()
    on_device = [pose.to(device) for pose in poses]
    return FrameDrive(
        expression.to(device),
        (on_device[0], on_device[1], on_device[2], on_device[3]),
        torch.from_numpy(shift).to(device),
        torch.from_numpy(torso_middle(rig, unshifted).astype(np.float32)).to(device),
        torch.from_numpy(shift_torso(rig, unshifted, shift)).to(device),
    )


class RigSurface(nn.Module):
    """The resting rig of one person, as tensors.

    Args:
        rig: the mesh.
        rest: ``[V, 3]`` metres, the person at rest, body frame.
        joints: ``[2, 3]`` metres.
        device: the device of the tensors.
    """

    def __init__(self, rig: HeadRig, rest: np.ndarray, joints: np.ndarray, device: str) -> None:
        super().__init__()
        wp = warp()
        self.rest, self.joints, self.faces, self.weights, self.deltas = (
            torch.as_tensor(array, device=device)
            for array in (
                np.asarray(rest, np.float32),
                np.asarray(joints, np.float32),
                rig.faces.astype(np.int64),
                rig.skin_weights,
                rig.expression_deltas.reshape(len(rig.expression_deltas), -1),
            )
        )
        self._device = wp.device_from_torch(torch.device(device))
        self._mesh = wp.Mesh(
            points=wp.array(np.asarray(rest, np.float32), dtype=wp.vec3, device=self._device),
            indices=wp.array(rig.faces.reshape(-1).astype(np.int32), dtype=wp.int32, device=self._device),
        )

    def attach(self, points: Tensor) -> Attachment:
        """Return the nearest place on the resting mesh of points ``[N, 3]``, metres, body frame."""
        wp = warp()
        points = points.detach().contiguous()
        face = torch.empty(len(points), dtype=torch.int32, device=points.device)
        barycentric = torch.empty_like(points)
        wp.launch(
            kernels().nearest,
            dim=len(points),
            inputs=[self._mesh.id, wp.from_torch(points, dtype=wp.vec3)],
            outputs=[wp.from_torch(face), wp.from_torch(barycentric, dtype=wp.vec3)],
            device=self._device,
        )
        return Attachment(face.long(), barycentric)

    def blend(self, values: Tensor, at: Attachment) -> Tensor:
        """Interpolate vertex values ``[V, C]`` at attached points: ``[N, C]``."""
        return (values[self.faces[at.face]] * at.barycentric[..., None]).sum(dim=1)

    def displacement(self, expression: Tensor, at: Attachment) -> Tensor:
        """Return Anny's expression displacement ``[N, 3]`` m of points at rest, for coefficients ``[1, 52]``."""
        return self.blend((expression @ self.deltas).reshape(-1, 3), at)

    def turn(self, vertices: Tensor, at: Attachment, vectors: Tensor) -> Tensor:
        """Rotate vectors ``[N, 3]`` at rest with the triangles of the posed mesh ``vertices [V, 3]``."""
        resting, posed = (_frames(mesh[self.faces[at.face]]) for mesh in (self.rest, vertices))
        return torch.einsum("nij,nkj,nk->ni", posed, resting, vectors)


def _frames(corners: Tensor) -> Tensor:
    """Return columns tangent, bitangent, normal of triangles ``[N, 3, 3]``: ``[N, 3, 3]``."""
    tangent = nn.functional.normalize(corners[:, 1] - corners[:, 0], dim=1)
    normal = nn.functional.normalize(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
    )
    return torch.stack((tangent, torch.linalg.cross(normal, tangent), normal), dim=2)


def move_torso(points: Tensor, weights: Tensor, drive: FrameDrive) -> Tensor:
    """A differentiable :func:`emo_bench.tracking.head_rig.shift_torso` of points ``[N, 3]`` with weights ``[N, 3]``."""
    follow = (weights[:, 0] + 0.5 * weights[:, 1])[:, None]
    arm = points[:, :2] - drive.torso_middle[:2]
    cosine, sine = torch.cos(drive.torso_shift[2]), torch.sin(drive.torso_shift[2])
    turned = torch.stack((cosine * arm[:, 0] - sine * arm[:, 1], sine * arm[:, 0] + cosine * arm[:, 1]), dim=1)
    moved = points[:, :2] + follow * (turned - arm + drive.torso_shift[:2])
    return torch.cat((moved, points[:, 2:]), dim=1)
