"""Ablations: run the variants of a method, and draw the figures."""
