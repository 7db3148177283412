"""Methods for comparison: one module per system, with its paper and how faithful it is."""

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads
