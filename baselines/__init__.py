"""Methods to compare with: one module a system, each saying which paper it is and how faithful."""
