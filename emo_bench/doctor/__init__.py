"""What works on this machine, with the remedy for what does not."""
