"""Picture files: the only module that reads them."""
