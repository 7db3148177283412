"""Training of the StyleGAN2 prior: warm-up, adversarial training, measurement, model card."""
