"""Checks of what works on this machine, with the remedy for everything that does not."""
