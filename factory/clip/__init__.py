"""A small CLIP of portraits, styles and attributes, trained on the studio's heads: ``python -m factory.clip``."""
