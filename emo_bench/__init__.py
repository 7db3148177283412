"""emo-bench: which head avatar is better, under one fixed protocol, and by how much."""

__version__ = "0.1.0"
