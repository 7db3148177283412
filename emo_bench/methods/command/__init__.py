"""A method of shell commands."""
