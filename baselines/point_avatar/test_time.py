"""Fitting a held-out frame's expression and pose to its own picture: the public runner's habit, off by default."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from baselines.point_avatar.renderer import Camera, PointAvatarModel
from baselines.point_avatar.rig_surface import FrameDrive

LEARNING_RATE = 2e-3


def fitted_to_picture(
    model: PointAvatarModel, camera: Camera, drive: FrameDrive, target: Tensor, steps: int
) -> FrameDrive:
    """The signals changed so that the model's picture comes nearer to ``target [S, S, 3]`` in [0, 1] (L1, Adam).

    Scores of such frames are no scores of reenactment: the picture that is to be foretold was looked at.
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
    return dataclasses.replace(
        drive,
        expression=expression.detach().clamp(0.0, 1.0),
        poses=(poses[0].detach(), poses[1].detach(), poses[2].detach(), poses[3].detach()),
    )
