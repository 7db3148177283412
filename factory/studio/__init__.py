"""The studio: a deterministic renderer of people with Anny, MakeHuman's CC0 assets and Warp ray tracing."""
