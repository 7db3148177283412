"""Two runs, frame by frame."""
