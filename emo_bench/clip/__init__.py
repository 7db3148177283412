"""CLIP: the model and its folders, for metrics and methods."""
