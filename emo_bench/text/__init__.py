"""What is printed and written as text: terminals, tables and CSV."""
