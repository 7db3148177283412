"""Plug-ins: find, check and call methods and metrics that other people wrote."""
