"""The old place of the published interface; import from :mod:`emo_bench.methods` instead."""

import warnings

from emo_bench.methods.interface import *  # noqa: F403
from emo_bench.methods.interface import __all__ as __all__

warnings.warn(
    "emo_bench.method has moved: use `from emo_bench.methods import Method, MethodInfo, Workspace`",
    DeprecationWarning,
    stacklevel=2,
)
