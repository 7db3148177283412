"""Programs that make the weights and actors that ship with emo-bench; no run imports them."""

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads
