"""emo-bench: which head avatar is better, under one fixed protocol, and by how much."""

from emo_bench.system.threads import bound_spinning

__version__ = "0.1.0"

# Set here, because every process of ours imports this package before it loads torch.
bound_spinning()
