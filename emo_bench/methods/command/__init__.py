"""Command methods: methods whose work is done by shell commands."""
