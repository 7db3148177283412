"""Runs that are killed at random moments, again and again: ``python -m tests.faults`` (``nox -s faults``;
docs/reliability.md).
"""
