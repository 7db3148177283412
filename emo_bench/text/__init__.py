"""Text output: terminals, tables and CSV."""
