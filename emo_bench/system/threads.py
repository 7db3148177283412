"""Limit how long OpenMP's threads spin while they wait for work, before torch is loaded.

A spinning thread occupies a core that another process could use; then every step of a fit waits for the thread that was
displaced. libgomp, which torch brings on Linux, spins for about 3 ms by default, libomp (macOS) and Intel's runtime for
200 ms. Each reads its variable once, when it is loaded.
"""

import os
import sys
from collections.abc import MutableMapping

# Iterations of libgomp's waiting loop, about 100,000 per millisecond; chosen with `benchmarks/contention.py`
# (docs/machine.md).
SPIN_COUNT = 30_000
# The same for libomp and Intel's runtime, in whole milliseconds.
BLOCK_TIME_MS = 1
# If any of these is set, the user has decided how threads wait.
CHOSEN_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def bound_spinning(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Set the variables for this process and its children, unless the user set them; return False if nothing was set.

    After torch has been loaded nothing is set, because its threads no longer read the variables.
    """
    if "torch" in sys.modules or any(name in environment for name in CHOSEN_BY_USER):
        return False
    environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    environment["KMP_BLOCKTIME"] = str(BLOCK_TIME_MS)
    return True
