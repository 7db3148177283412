"""User studies: the page, the answers, the tables."""
