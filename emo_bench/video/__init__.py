"""Videos and frames: reading, writing, lossless storage, previews, sheets."""
