"""RAVE (Kara et al.: Randomized Noise Shuffling for Fast and Consistent Video Editing with Diffusion Models, CVPR24).

Written from the paper and from values in the public configuration; no line of the authors' code, which is under the MIT
licence, is used.

Faithful: each frame is inverted by DDIM with an empty text, and the ControlNet sees it in the inversion too. The noisy
latents of nine frames are put together as one picture, a grid of 3x3, and so are the pictures that the ControlNet sees.
The network denoises whole grids, so that its self-attention and its convolutions see all frames of a grid. Before every
step, the frames of the whole clip are shuffled over the grids at random; after the last step they are put back in
order. Guidance 7.5, 50 steps and 50 of the inversion in profile ``paper``.

Replaced: the ControlNet sees Canny's edges; the configuration has a depth map. Where no ControlNet is here, a network
with source channels sees the grid of the recorded frames and reads the instruction, and any other network has only the
inverted noise. The inversion never uses the source channels: a network that sees the picture finds no noise in it.

Added: a clip of any length comes out whole. Places that stay empty in the last grid show frames that other grids show
too, and what becomes of these copies is dropped. With profiles other than ``paper``, the guided prediction is brought
back to its usual deviation. The first level of noise is left out if it has no signal, as no frame can be found again
from pure noise.

Left out: pretrained models other than the pipeline's own, and several ControlNets at once.
"""
