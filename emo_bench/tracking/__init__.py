"""Tracking: the head rig, landmarks, the fit and UV maps."""
