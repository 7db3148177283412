"""Programs that make the weights and actors that ship with emo-bench; no run imports them."""
