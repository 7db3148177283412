"""Check on a small capture what every method promises."""
