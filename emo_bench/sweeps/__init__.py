"""Sweeps: many runs by one command. A sweep is planned first; each run is a task, and an executor does the tasks."""
