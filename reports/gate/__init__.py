"""Runs held against thresholds and stored scores."""
