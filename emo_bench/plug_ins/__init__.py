"""Methods and metrics of other people: how their classes are found and called."""
