"""Picture files: the only reader of them."""
