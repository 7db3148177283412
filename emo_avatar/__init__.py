"""Emo-Avatar (arXiv 2402.00827v1): StyleGAN2, few-shot PTI, neural texture, renderer, one-shot editing.

Importing the package is cheap; the submodules import torch.
"""

import emo_bench  # noqa: F401 - before torch is loaded, see emo_bench.system.threads
