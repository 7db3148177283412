"""CLIP: its folders and its model, for metrics and methods."""
