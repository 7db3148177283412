"""Programs that make what ships with emo-bench; no run imports them."""
