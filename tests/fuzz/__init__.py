"""Damaged and hostile files for every reader of the toolkit: ``python -m tests.fuzz`` (``nox -s fuzz``;
docs/reliability.md).
"""
