"""Tracking: the head rig, landmarks, fitting the rig to a video, and UV maps."""
