"""Methods to compare with: one module a system, each saying which paper it is and how faithful."""

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads
