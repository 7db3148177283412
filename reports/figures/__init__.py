"""Charts, line-ups, stills and clips of runs."""
