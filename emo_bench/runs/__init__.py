"""Runs: from a request to a finished run folder, edits, and frames made elsewhere."""
