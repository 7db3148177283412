"""Variants of a method as runs, and the figures of an ablation."""
