"""Instructions for an edit in plain words, and the captions before and after that follow from them."""
