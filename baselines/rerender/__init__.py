"""Rerender-A-Video (Yang et al. 2023), written from its paper; no line of the authors' code is used.

Faithful: every tenth frame is a key frame. Key frames are painted one after the other from the same noise. The
decoder's self-attention sees the first and the previous key frame. In the first tenth of the steps, the predicted
picture is that of the first key frame where the flow finds it. From 0.5 to 0.8 of the steps, the pixels of the first
and the previous key frame come in, through an encoding that makes up for the autoencoder's loss. In the last fifth, the
colours are those of the first key frame (AdaIN). A ControlNet of Canny's edges gives the structure.

Replaced: the flow is torchvision's RAFT or OpenCV's DIS, the paper has GMFlow. EbSynth is not used:
:mod:`baselines.rerender.between` moves patches of the key frames along the flow, refines them by PatchMatch with
EbSynth's guides, and mixes the two sides by confidence. The paper takes the side of smaller error and then repairs
contrast and seams. The fused latents keep the noise that the network predicts, the paper draws fresh noise.

Added: where no ControlNet is here, a network with source channels sees the recorded frame itself, and any other network
starts from the noisy frame alone. The last frame is a key frame too, so that a clip may have any length.
"""
