"""What the diffusion editors share: the networks of a pipeline, DDIM steps, and the inversion of a clip."""
