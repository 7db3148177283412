"""Resumable training for methods: state, checkpoints, loss log, settings, seconds of each stage."""
