"""TokenFlow (Geyer et al.: Consistent Diffusion Features for Consistent Video Editing, ICLR 2024).

Written from the paper, from that of plug-and-play (Tumanyan et al., CVPR 2023) and from facts in the public
configuration; no line of the authors' code, which is under the MIT licence, is used.

Faithful: DDIM inversion of each frame by the source's caption; in each step of the sampling one random key frame in
each batch; extended attention over all key frames; the tokens (outputs of self-attention) of all other frames are those
of the edited key frames before and after, at the nearest source tokens by cosine, blended by the sigmoid of the
relative distance; queries and keys of the source in the first half of the steps, features in the first 80 %;
classifier-free guidance 7.5; 50 steps and 500 of the inversion in profile ``paper``.

Different: every frame comes out (the release drops a remainder of the last batch). The source's tokens are compared
after self-attention, as the paper writes. The features of the source replace the output of the whole residual block.
Layers are counted in the decoder of the U-Net that is there, so that networks of another depth are cut at the same
third. The first level of noise is left out if it has no signal, because no frame can be found again from pure noise. A
network with source channels sees each recorded frame too, unless ``source`` is ``dropped``, as the published kind has
no such channels.
"""
