"""What every method promises, tried on a small capture."""
