"""Rerender-A-Video (Yang et al. 2023), written from its paper."""
