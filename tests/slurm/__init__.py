"""A real one-node Slurm, and a sweep on it: ``python -m tests.slurm``."""
