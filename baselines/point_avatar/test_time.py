"""Fitting a held-out frame's expression and pose to its own picture: the public runner's habit, off by default."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from baselines.point_avatar.renderer import Camera, PointAvatarModel
from baselines.point_avatar.rig_surface import FrameDrive, drive_by
from emo_bench.tracking.head_rig import Head, load_head_rig

LEARNING_RATE = 2e-3


def fitted_to_picture(
    model: PointAvatarModel, head: Head, camera: Camera, drive: FrameDrive, target: Tensor, steps: int
) -> FrameDrive:
    """The signals changed so that the model's picture comes nearer to ``target [S, S, 3]`` in [0, 1] (L1, Adam).

    While they change, normals turn with the rig as it was tracked. Scores of such frames are no scores of reenactment: the picture that is to be foretold was looked at.
    """
    expression = drive.expression.clone().requires_grad_(True)
    poses = [pose.clone().requires_grad_(True) for pose in drive.poses]
    optimizer = torch.optim.Adam([expression, *poses], lr=LEARNING_RATE)

    def changed() -> FrameDrive:
        return dataclasses.replace(
            drive, expression=expression, poses=(poses[0], poses[1], poses[2], poses[3])
        )

    for _ in range(steps):
        loss = (model(changed(), camera).image - target).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=[expression, *poses])
        optimizer.step()
    return drive_by(
        load_head_rig(),
        head,
        expression.detach().clamp(0.0, 1.0),
        poses,
        drive.torso_shift.cpu().numpy(),
        str(target.device),
    )
