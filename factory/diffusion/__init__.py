"""Train the diffusion network of portraits from scratch: docs/diffusion.md."""
